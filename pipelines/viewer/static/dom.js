// Elements are made here alone, and a text is always put in as text: nothing is ever parsed as markup.

const SVG = "http://www.w3.org/2000/svg";

// What changes the direction of the text around it, or is not seen: shown by its code where it could deceive.
const HIDDEN =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(
    ...children
      .flat(Infinity)
      .filter((child) => child !== null && child !== undefined && child !== false),
  );
  return element;
}

/** An HTML element; a function among the attributes listens to the event of that name. */
export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** An SVG element. */
export function svg(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** A name in one line, with its hidden characters shown by their codes. */
export function visible(text) {
  return String(text)
    .replace(/[\n\r\t]/g, " ")
    .replace(
      HIDDEN,
      (found) => `[U+${found.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}]`,
    );
}

/** A name that cannot change the direction of what stands around it. */
export function named(text) {
  return h("bdi", { class: "name" }, visible(text));
}

const TAGS = new Set(
  "p h1 h2 h3 h4 h5 h6 ul ol li blockquote pre code em strong s table thead tbody tr th td hr br span".split(
    " ",
  ),
);

// Whole numbers alone become attributes, and of cells alone.
function spans(node) {
  if (node.tag !== "td" && node.tag !== "th") return {};
  const over = (count) => (Number.isInteger(count) && count > 1 ? count : null);
  return { colspan: over(node.columns), rowspan: over(node.rows) };
}

/** The tree that the server made of a text, with known elements alone, and no attributes but the spans of cells. */
export function tree(nodes) {
  return nodes.map((node) => {
    if (typeof node === "string") return document.createTextNode(node);
    const element = h(
      TAGS.has(node.tag) ? node.tag : "span",
      spans(node),
      ...tree(node.children),
    );
    return element.tagName === "TABLE" ? h("div", { class: "scrolls" }, element) : element;
  });
}

export function number(value) {
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value)) return value.toLocaleString("en");
  return Math.abs(value) >= 1000
    ? Math.round(value).toLocaleString("en")
    : String(Number(value.toPrecision(4)));
}

export function percent(share) {
  return share === null ? "–" : `${(100 * share).toFixed(1)} %`;
}

/** Says something to those who see the page and to those who hear it. */
let fading;
export function say(text) {
  const status = document.getElementById("status");
  status.textContent = text;
  status.classList.add("shown");
  clearTimeout(fading);
  fading = setTimeout(() => status.classList.remove("shown"), 4000);
}

/** An error that stays until the next thing that works. */
export function warn(text) {
  const notice = document.getElementById("notice");
  notice.hidden = !text;
  notice.textContent = text ?? "";
}
