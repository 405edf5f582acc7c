"""Words of captions, as pycocoevalcap counts them.

They are the tokens of Stanford's PTBTokenizer, in lower case and without the punctuation that
pycocoevalcap drops. The tokenizer is Java, so its rules are rewritten here, derived from the output
of version 3.4.1 for some thousand texts in which they apply. The names of brackets count as words:
pycocoevalcap means to drop them, but compares them in capitals.
"""

from __future__ import annotations

import re

Tokens = list[str]

DROPPED = frozenset(["''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"])
# They keep their point: always; with a capital; before a number. A single letter does, unless a
# sentence starts there.
ABBREVIATIONS = (
    "mr mrs ms dr prof st mt ave blvd rd jr sr inc ltd co corp vs etc gen col capt lt sgt rev hon"
    " gov sen rep pres jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thurs"
    " fri dept assn tel est ext bros sq ft calif mich minn mo ariz colo conn fla ga ind kan ky md"
    " neb nev okla penn tenn va vt wis wyo ala messrs mme mlle maj cmdr adm ph reps sens univ bldg"
    " ct ste al esq cf bhd mfg cie jos wm alex"
)
CAPITALISED = "Ill Mass Miss Ark Del La Ore Pa Tex Wash"
STARTS = (
    "A An As At But He Her Here If In It Many More Mr Ms Now One Our She So Some That The Their"
    " Then There They This We"
)
NUMBERED = "no fig pp ca"
SPLIT = {
    "cannot": 3,
    "gonna": 3,
    "gotta": 3,
    "wanna": 3,
    "lemme": 3,
    "gimme": 3,
    "'tis": 2,
    "'twas": 2,
    "more'n": 4,
}
REPLACED = {
    **dict(zip("()[]{}", ("-lrb-", "-rrb-", "-lsb-", "-rsb-", "-lcb-", "-rcb-"), strict=True)),
    **{
        "£": "#",
        "€": "$",
        "¢": "cents",
        "½": "1/2",
        "¼": "1/4",
        "¾": "3/4",
        "⅓": "1/3",
        "⅔": "2/3",
    },
    **dict.fromkeys('"“”„‘‚«»‹›', "''"),
    **{"&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": "''", "…": "...", "–": "--", "—": "--"},
}

_WORD = r"[^\W_]"
_RULES = [
    r"&(?:amp|lt|gt|quot);",
    r"</?[A-Za-z!?][^<>]*>",
    r"https?://[^\s,\"<>]*[^\s,.!?;:\"<>)]|www\.[^\s,\"<>]*[^\s,.!?;:\"<>)]",
    r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+",
    rf"[\w-]+(?:\.[\w-]+)*\.(?:com|net|org|edu|gov|jpg|html)(?!{_WORD})",
    r"[#@][A-Za-z]\w*",
    r"[:;=][-o*']?[()DPdpO](?![\w(])",
    r"[A-Z]+(?:(?:[+&]|&amp;)[A-Z]+)+(?![a-z])",
    rf"[Cc](?:\+\+|#)(?!{_WORD})",
    # Abbreviations and initials.
    r"(?:[A-Za-z]\.)+(?:-\w+)+",
    rf"(?:(?i:{ABBREVIATIONS.replace(' ', '|')})|{CAPITALISED.replace(' ', '|')})\.(?!\w)",
    r"(?:[Pp]h\.[Dd]|[A-Za-z](?:\.[A-Za-z])+)\.(?!\w)|[A-Za-z]+\.(?=[,;:])",
    rf"[A-Za-z]\.(?!\w|\s+(?:{STARTS.replace(' ', '|')})\b)",
    rf"(?i:{NUMBERED.replace(' ', '|')})\.(?=\s?\d)",
    r"[A-Za-z]+(?:\.[A-Za-z]+)+(?!\w)",
    # Words that are split in two, or not at all.
    rf"(?i:cannot|gonna|gotta|wanna|lemme|gimme)(?![\w-])|(?i:'tis|'twas)(?={_WORD}*)|(?i:more(?='n\b))",
    r"(?i:[a-z]+?(?=n['’]t(?![a-z])))",
    r"(?i:n['’]t)(?![A-Za-z])",
    r"['’](?i:s|m|d|re|ve|ll)(?![A-Za-z])",
    r"['’](?i:em|til|cause)(?!\w)|['’](?i:n)(?:['’]|(?!\w))|['’]\d\ds(?!\w)|['’]\d\d(?=[\s;]|\Z)",
    r"(?i:o['’]clock|ma['’]am|c['’]mon|s['’]mores|o['’]er|ol['’](?!\w)|qu['’][a-z]+|[old]['’](?!s\b|d\b|m\b|ll\b|re\b|ve\b)[a-z]{2,})",
    r"[jJyY]['’](?=[A-Za-z]{2,})",
    # Numbers, and words that contain numbers, hyphens and slashes.
    r"(?:\d+ (?=\d+/\d))?\d+(?:/\d+)+(?:-[A-Za-z]+)*",
    rf"\d+(?:[.,]\d+)*(?:-{_WORD}+)+",
    rf"[-+]?(?:\d+(?:[.,:]\d+)+|(?<![\w.])[.]\d+)|(?:(?<!\S)-|[+])\d+(?!{_WORD})",
    rf"{_WORD}[\w]*(?:[-_]\w+)*(?:/{_WORD}[\w]*(?:-\w+)*)*",
    r"-{2,}|\.{3,}|[?!]+|\*+|#+|_+|``|''",
    r"\S",
]
_FRACTION = re.compile("[½¼¾⅓⅔]")
_TOKEN = re.compile("|".join(f"(?:{rule})" for rule in _RULES))


def tokens(caption: str) -> Tokens:
    """Words of a caption."""
    found = (
        part
        for token in _TOKEN.findall(_FRACTION.sub(r" \g<0> ", caption))
        for part in _parts(token.lower().replace("’", "'").replace(" ", "\u00a0"))
    )
    return [token for token in found if token not in DROPPED]


def _parts(token: str) -> list[str]:
    if token in SPLIT:
        return [token[: SPLIT[token]], token[SPLIT[token] :]]
    if token in REPLACED:
        return [REPLACED[token]]
    if len(token) > 1 and set(token) <= {"-"}:
        return ["--"]
    if len(token) > 1 and set(token) <= {"."}:
        return ["..."]
    if len(token) > 1 and token[0] in ":;=":
        return [token.replace("(", "-lrb-").replace(")", "-rrb-")]
    return [token]
