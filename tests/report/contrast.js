// The texts of the page that stand too little out from what is behind them, and the controls without a name.
() => {
  const pen = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = colour;
    pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = rgba(getComputedStyle(at).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255];
  };
  const poor = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let checked = 0;
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || node.closest("script, style, noscript, option") || !node.checkVisibility()) continue;
    const style = getComputedStyle(node), ink = light(rgba(node instanceof SVGElement ? style.fill : style.color)), paper = light(behind(node));
    const ratio = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    checked += 1;
    if (ratio < 4.5) poor.push(`${ratio.toFixed(2)} ${node.className.baseVal ?? node.className}: ${walker.currentNode.data.slice(0, 40)}`);
  }
  const named = (node) => (node.getAttribute("aria-label") || node.textContent || (node.labels && node.labels.length && node.labels[0].textContent) || "").trim();
  const controls = [...document.querySelectorAll("button, input, select, summary, [role=option], [role=application], [role=region], section")];
  return { checked, poor: [...new Set(poor)], nameless: controls.filter((node) => !named(node)).map((node) => node.outerHTML.slice(0, 120)) };
}
