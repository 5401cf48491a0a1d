// Building blocks. Text reaches the page only as text nodes and attributes that no browser runs.
const SVG = "http://www.w3.org/2000/svg";
const NONE = "–";

function build(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "on") for (const [type, heard] of Object.entries(value)) node.addEventListener(type, heard);
    else if (key === "vars") for (const [name, v] of Object.entries(value)) node.style.setProperty(name, v);
    else node.setAttribute(key, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return node;
}

const el = (tag, attributes, ...children) => build(document.createElement(tag), attributes, children);
const svg = (tag, attributes, ...children) => build(document.createElementNS(SVG, tag), attributes, children);

// A text of strangers: isolated, so that its direction does not reach its neighbours.
const foreign = (text, attributes) => el("bdi", attributes, text);

// One decimal, exact halves to the even digit, as the project's other tables have it.
function oneDecimal(value) {
  const size = Math.abs(value);
  const text = size - Math.floor(size) === 0.25 ? `${Math.floor(size)}.2` : size.toFixed(1);
  return value < 0 && Number(text) !== 0 ? `-${text}` : text;
}

const known = (x) => typeof x === "number" && Number.isFinite(x);
const percent = (x) => (known(x) ? oneDecimal(100 * x) : NONE);
const minus = (text) => text.replace("-", "−");
const signed = (x) => {
  if (!known(x)) return NONE;
  const text = oneDecimal(100 * x);
  return Number(text) === 0 ? "0.0" : x > 0 ? `+${text}` : minus(text);
};
const count = (n, one, many) => `${whole(n)} ${n === 1 ? one : many || one + "s"}`;
const whole = (x) => (known(x) ? Math.round(x).toLocaleString("en-GB") : NONE);

function plainNumber(x) {
  if (!known(x)) return NONE;
  return Number.isInteger(x) ? x.toLocaleString("en-GB") : Number(x.toPrecision(4)).toString();
}

function duration(seconds) {
  if (!known(seconds)) return NONE;
  if (seconds < 90) return `${oneDecimal(seconds)} s`;
  return seconds < 5400 ? `${oneDecimal(seconds / 60)} min` : `${oneDecimal(seconds / 3600)} h`;
}

const mean = (values) => (values.length ? values.reduce((a, b) => a + b, 0) / values.length : null);
const short = (text, length) => (text.length > length ? text.slice(0, length - 1) + "…" : text);
const oneLine = (text) => text.replace(/\s*\n\s*/g, " ⏎ ");

function swatch(method) {
  return el("span", { class: "swatch", vars: { "--m": method.colour }, "aria-hidden": "true" });
}

const methodName = (method) => el("span", { class: "method" }, swatch(method), foreign(method.name));

// A table in a frame of its own, which scrolls sideways where the screen is narrow.
function framed(label, head, rows, attributes) {
  const table = el("table", attributes, el("thead", null, el("tr", null, head)), el("tbody", null, rows));
  return el("div", { class: "frame", role: "region", tabindex: "0", "aria-label": label }, table);
}

const heading = (text, numeric) => el("th", { scope: "col", class: numeric ? "number" : null }, text);
const number = (text, attributes) => el("td", { class: "number", ...attributes }, text);

function choice(label, options, selected, heard, attributes) {
  const select = el("select", { ...attributes, "aria-label": label, on: { change: () => heard(Number(select.value)) } });
  options.forEach((text, i) => select.append(el("option", { value: i, selected: i === selected }, text)));
  return el("label", { class: "field" }, el("span", null, label), select);
}

const button = (text, heard, attributes) => el("button", { type: "button", ...attributes, on: { click: heard } }, text);

// Packed integers of `bits` bits, low bit first, in base64.
function unpack(text, bits, length) {
  const raw = atob(text), out = new Uint8Array(length), mask = (1 << bits) - 1;
  const at = (i) => (i < raw.length ? raw.charCodeAt(i) : 0);
  for (let i = 0, bit = 0; i < length; i++, bit += bits) {
    const byte = bit >> 3;
    out[i] = ((at(byte) | (at(byte + 1) << 8)) >> (bit & 7)) & mask;
  }
  return out;
}
