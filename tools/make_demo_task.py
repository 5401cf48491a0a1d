"""Write the rows of the demo's task: a customer's message, and the desk of the shop that answers it.

Every sentence comes from the frames below. A fifth of each desk's frames is used in the test rows only,
and no filled frame of a test row, whatever its greeting, is in the other files. The same seed gives the same bytes.

    python tools/make_demo_task.py --output src/paft/resources/demo
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

SIZES = {"test": 300, "validation": 200, "train": 1000}  # the test rows choose first
HELD_OUT_SHARE = 5  # one frame in five is for the test rows alone
WORDS = (6, 16)

SLOTS = {
    "item": (
        "lamp kettle chair table coat clock hat basket blanket mirror bicycle tent saddle guitar violin teapot toaster "
        "jacket shirt dress skirt scarf belt watch ring necklace carpet bookcase cushion pillow suitcase backpack "
        "printer telephone radio camera drill hammer spade ladder bench kitchen-table garden-chair frying-pan "
        "desk-lamp rain-coat writing-desk music-box bread-knife child's-bed"
    ),
    "pair": "boots gloves shoes trousers slippers socks sandals jeans mittens skates stockings walking-shoes",
    "when": "yesterday last-week on-Monday two-days-ago last-month this-morning on-Friday in-March a-week-ago",
    "day": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    "amount": "12-pounds forty-pounds 9-pounds 30-dollars 15-pounds 60-dollars ten-pounds 25-pounds 8-dollars 5-pounds",
    "who": "my-mother my-neighbour my-son my-wife a-friend my-brother my-aunt my-daughter my-husband our-teacher",
    "flaw": "broken damaged faulty scratched stained dirty ruined spoiled",
    "long": "two-weeks ten-days nine-days a-week three-weeks a-month five-days",
}
FILLERS = {name: [w.replace("-", " ") for w in words.split()] for name, words in SLOTS.items()}

# A greeting that ends in a comma or colon goes on in lower case.
OPENERS = (
    "Hello,|Hi,|Good morning,|Dear shop,|Please help,|Excuse me,|Sorry to trouble you,|Hi there,|Good day,|"
    "Hello again,|Quick question:|To the shop:|Good evening.|Short note:|Dear Sir or Madam,|I hope you can help."
).split("|")
CLOSERS = (
    "Thank you.|Please help.|I am not pleased.|What now?|Can you check?|I have written twice already.|"
    "I am quite upset.|Please answer soon.|Many thanks.|Yours, Anne|Regards, Thomas|Please be quick.|What shall I do?|"
    "Thanks!|I hope to hear from you.|It is rather urgent."
).split("|")

# [a|b] is one of several words, {item} a filler. Frames begin in lower case but for "I"; questions have their "?".
FRAMES = {
    "billing": """
you [charged|billed] me twice for the {item}
I was billed {amount} for a {item} I never ordered
the [price|sum] on the bill for my {item} is {amount} too high
can I pay for the {item} in [two|three|four] parts?
my card was refused when I tried to pay for the {item}
please send me [a bill|a receipt|an invoice] for the {item} I bought {when}
the discount of {amount} was not taken off the [price|bill]
I paid by bank transfer {when} and you still ask for [payment|money]
[two|three] payments of {amount} have left my bank account
you took {amount} for [post|delivery] although it should be free
the {item} went back {when} but I have not had my {amount}
my refund of {amount} has not reached [the|my] bank yet
how much does the {item} cost with [tax|postage]?
do you take [cash|cheques|dollars] for a {item} or only cards?
may I use a gift card to pay half of the {item}?
why is there [a fee|an extra charge] of {amount} on my bill?
you promised me {amount} back because the [parcel|box] was late
the receipt for the {item} shows the wrong [sum|price]
I need the [tax|value] shown on the receipt for my {item}
the sale price was {amount} but I [paid|was charged] much more
is it possible to pay next [month|week|year] for the {item}?
you returned too little, {amount} is [still|yet] owed to me
a reminder says I owe {amount}, yet I paid {when}
did my [cheque|payment] for the {item} reach your bank?
my [voucher|gift card] worth {amount} is refused when I pay
what would the {item} and its delivery cost together?
I paid {amount} too much for the {pair} by mistake
someone used my [bank|credit] card to buy a {item} from you
the [bill|sum] in my account is {amount} above the price in the shop
could I get a lower price if I buy [ten|six|twenty] pairs of {pair}?
the [first|second|last] payment for my {item} was taken twice
the {item} costs {amount} less elsewhere, will you match that price?
I cancelled the order {when}, so please pay back the {amount}
your invoice lists a {item} that I did not buy
is the deposit of {amount} for the {item} paid back later?
""",
    "delivery": """
my {item} has [still not|not] arrived
where is the parcel with my {item}?
the driver left the {item} at the wrong [house|door|address]
I have waited {long} for the {item} to come
can you bring the {item} on {day} instead?
the tracking number for my {item} does not work
nobody rang [the|my] bell on {day}, yet the card says I was out
please leave the [parcel|box|package] with {who}
when will the {item} be [sent out|shipped|on its way]?
the [courier|driver] says my street does not exist, I expect a {item}
I paid {when} but the {pair} are still on the road
do you send a {item} to [an island|another country|a village]?
the parcel with the {item} was handed to a stranger
my account says delivered, but no {item} came
is it quicker if I collect the {item} from the [depot|store] myself?
the box with the {pair} seems to be lost on the way
I will be away on {day}, please deliver the {item} later
the new {item} you promised after my return is late
could the {item} go to my [office|school|work] rather than my home?
your van drove past [my house|our door|us] without stopping {when}
the shipping date for my {item} keeps moving
only half of my order came, when do the {pair} follow?
the parcel has been stuck [at the border|in the harbour|at the station] since {day}
does the [postman|driver] carry the {item} up the stairs?
I gave the wrong street for the {item} that is on its way
what time on {day} will the [van|driver|postman] come?
the money is paid, so when does the {item} leave your store?
the {item} must reach {who} before {day}
how long does a {item} take to get [here|to me]?
the post office cannot find the [parcel|box|package] with my {item}
I heard nothing about when the {pair} will come
your driver left the {item} outside in the [rain|snow|street] {when}
can you track the [parcel|box|package] you sent {when}?
the {item} for {who} went to our old address
please hold my [parcel|box|package] until {day}
""",
    "returns": """
the {item} is {flaw} and I want to send it back
I would like to return the {item} I bought {when}
the {item} does not fit, can I change it?
you sent me a [red|white|green] {item}, I ordered a [blue|black|grey] one
the {pair} are too [small|large|tight|wide], I need another size
my {item} stopped working after {long}
how do I send back a {item} I do not like?
the parcel came {when} but the {item} in it is {flaw}
I paid a lot for this {item} and it [fell apart|broke]
a [part|leg|screw|handle] of the {item} is missing
can I swap the {item} for a [bigger|smaller|lighter] one?
which form do I fill in to give back the {pair}?
the {item} was a [gift|present] from {who} and I already have one
the {item} makes a strange [noise|sound], please take it back
this is not the {item} I [chose|ordered|wanted]
the {pair} came apart the first time I wore them
how many days do I have to bring back the {item}?
my account lists the right {item} but the wrong one was in the box
the colour of the {item} is nothing like the picture
I do not want money, only a {item} that is not {flaw}
the {item} smells of [smoke|fish|oil] and I will not keep it
will you mend the {flaw} {item} or give me another?
the [lid|back|side|front] of the {item} was {flaw} when I opened the box
may I bring the {item} back to the shop without the box?
I have changed my mind about the {item} and do not need it
the {item} broke {when}, is there still a guarantee?
there is a [hole|tear|stain] in the {pair} already
{who} wants to exchange the {item} for a better one
please fetch the {flaw} {item} from my house
the {item} you posted {when} is the wrong size
I need a label to send the {pair} back
the new {item} will not [start|open|close], please replace it
the {item} looks used, I want a new one
the {pair} are too [stiff|rough|heavy] for me, please take them back
there is a [scratch|crack|hole|stain] in the {item} and I refuse to keep it
""",
    "access": """
I forgot my password and [need|want] a new one by {day}
I cannot [log in|sign in] since {day}
please change the email [address|name] in my profile to the one of {who}
how do I [close|delete] my account [for good|before {day}|today|this week]?
my [first|last|family] name is [wrong|not right] in my [profile|account|records]
I never got the code to [log in|sign in] {when}
the [page|site|app] says my [user name|login|email] is [unknown|wrong|not known]
please delete [all the details|everything|the data] you [keep|hold] about [me|us|my family]
I want to stop the [news|notes|letters] you email me [each|every] [week|day|month|{day}]
how can I [open|set up] an account for {who}?
[someone|a stranger|{who}] [is using|has used|knows] my [login|password] without asking
the [page|site|app] locks me out whenever I look for a {item}
I married {when} and need my new name in my [profile|account]
where on [the site|my page|the app] can I see [the list of|all] my [old|last|former] orders?
the link for a new password [is dead|does nothing|will not open] since {day}
my saved wish list with the {item} has vanished from my [page|profile]
can I share one [login|account|profile] with {who}?
I moved house {when}, please update my [details|profile|records]
the [payment|money|order] page wants my password and I [have forgotten|have lost|forgot] it
I cannot [log in|sign in] to print the return label for my {item}
please remove the [old|lost|second] bank card from my [profile|settings|page|account]
switch off the parcel [news|notes] in my settings, I get too many every {day}
my [telephone|mobile|home] number is new, where in my [profile|account] do I [enter|change] it?
your [page|site|app] does not [know|take] my email [any more|since {day}|today]
how do I [become|sign up as] a member, {who} is one?
my member points have been gone from my [page|profile|account] since {day}
my [birthday|age|date of birth] is [wrong|not right] in [my profile|your records|my account]
I was logged out while I was choosing a {item}
there are [two|three] [profiles|accounts] under [my name|the name of {who}], please [join them|keep one]
the password I [set|chose] {when} is not accepted
is my [address|name|birthday|age] on the [page|site|app] seen by other members?
please unlock my profile, [I|{who}] typed the wrong password {when}
I have signed up [twice|again] by mistake, [delete|close] one [account|profile|login]
what [details|data] about [me|us|my family] do you [keep|hold] [on file|in your records]?
[someone|a stranger] has changed my password {when}
""",
}


def frames_of(label: str, seed: int) -> tuple[list[str], list[str]]:
    """The frames of one label: those of every file, and those of the test rows alone."""
    frames = FRAMES[label].strip().split("\n")
    random.Random(f"{seed}/frames/{label}").shuffle(frames)
    held = len(frames) // HELD_OUT_SHARE
    return frames[held:], frames[:held]


def fill(frame: str, rng: random.Random) -> str:
    """One reading of a frame: every ``[a|b]`` chosen, then every ``{slot}`` filled."""
    chosen = re.sub(r"\[([^\]]+)\]", lambda m: rng.choice(m[1].split("|")), frame)
    return re.sub(r"\{(\w+)\}", lambda m: rng.choice(FILLERS[m[1]]), chosen)


def dress(core: str, rng: random.Random) -> str:
    """A greeting, an end mark, a closing word and a mood around a filled frame; each of them may be absent."""
    opener = rng.choice(OPENERS) if rng.random() < 0.25 else ""
    closer = rng.choice(CLOSERS) if rng.random() < 0.2 else ""
    mood = rng.choice(("plain", "plain", "plain", "plain", "loud", "hasty"))
    if not opener.endswith((",", ":")):
        core = core[0].upper() + core[1:]
    if not core.endswith("?"):
        core += "!" if mood == "loud" else "."
    text = " ".join(part for part in (opener, core, closer) if part)
    return text.lower().rstrip(".") if mood == "hasty" else text


def rows_of(label: str, split: str, seed: int, taken: set[str]) -> Iterator[str]:
    """The texts of one label in one file, its frames in even shares; ``taken`` holds the test's filled frames."""
    shared, held = frames_of(label, seed)
    frames = shared + held if split == "test" else shared
    rng = random.Random(f"{seed}/{split}/{label}")
    rng.shuffle(frames)
    texts: set[str] = set()
    for row in range(SIZES[split] // len(FRAMES)):
        core, text = new_text(frames[row % len(frames)], rng, texts, set() if split == "test" else taken)
        texts.add(text)
        if split == "test":
            taken.add(core)
        yield text


def new_text(frame: str, rng: random.Random, texts: set[str], taken: set[str]) -> tuple[str, str]:
    """A filled frame, casefolded, that is not in ``taken``, and its text, not in ``texts`` and of a fit length."""
    for _ in range(1000):
        core = fill(frame, rng)
        text = dress(core, rng)
        if core.casefold() not in taken and text not in texts and WORDS[0] <= len(text.split()) <= WORDS[1]:
            return core.casefold(), text
    raise SystemExit(f"error: no further text of {WORDS[0]} to {WORDS[1]} words from {frame!r}; give it more choices")


def make_split(split: str, seed: int, taken: set[str]) -> list[dict[str, str]]:
    """The rows of one file, labels balanced and in mixed order."""
    pairs = [(text, label) for label in FRAMES for text in rows_of(label, split, seed, taken)]
    random.Random(f"{seed}/order/{split}").shuffle(pairs)
    return [{"id": f"{split}-{i:04d}", "text": text, "label": label} for i, (text, label) in enumerate(pairs, start=1)]


def write(folder: Path, seed: int) -> None:
    """Write ``train.jsonl``, ``validation.jsonl`` and ``test.jsonl`` into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    taken: set[str] = set()
    for split in SIZES:
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in make_split(split, seed, taken)]
        (folder / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8", newline="\n")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("--output", type=Path, required=True, help="folder for the three files")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    write(args.output, args.seed)
    print(f"wrote {', '.join(f'{n} {split}' for split, n in SIZES.items())} rows to {args.output}")


if __name__ == "__main__":
    main()
