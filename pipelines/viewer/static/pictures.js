// A picture with its boxes drawn over it; and what stands in its place when it cannot be read.

import { get, picture } from "./api.js";
import { h, svg, visible, warn } from "./dom.js";
import { output, query, state } from "./state.js";

const COLOURS = 6;
let warned = "";

function colour(label) {
  let sum = 0;
  for (const character of label) sum = (sum * 31 + character.codePointAt(0)) >>> 0;
  return sum % COLOURS;
}

/** Boxes in pixels of a picture of this width and height; a label is as high as the longer side divided by `share`. */
export function boxes(list, width, height, share = 34) {
  const overlay = svg("svg", {
    class: "boxes",
    viewBox: `0 0 ${width} ${height}`,
    preserveAspectRatio: "xMidYMid meet",
    "aria-hidden": "true",
  });
  const size = Math.max(width, height) / share;
  list.forEach((box, index) => {
    const [x, y] = [Math.min(box.x1, box.x2), Math.min(box.y1, box.y2)];
    const label = visible(box.label ?? "");
    const shape = svg("rect", {
      x,
      y,
      width: Math.abs(box.x2 - box.x1),
      height: Math.abs(box.y2 - box.y1),
    });
    const text = svg(
      "text",
      { x: x + size / 5, y: Math.max(size, y - size / 4), "font-size": size },
      label.slice(0, 40),
    );
    overlay.append(
      svg("g", { class: `box colour-${colour(label)}`, "data-box": index }, shape, text),
    );
  });
  return overlay;
}

/** The boxes of a row, from whichever column holds some. */
export function boxesOf(row) {
  const drawable = (box) =>
    box && ["x1", "y1", "x2", "y2"].every((side) => Number.isFinite(box[side]));
  const found = Object.values(row).find((value) => Array.isArray(value) && value.some(drawable));
  return row.width > 0 && row.height > 0 ? (found ?? []).filter(drawable) : [];
}

/** A unit's picture. `list` are its boxes, `row` has its size. */
export function framed(
  row,
  { size = "small", place = 0, frame = 0, list = [], alt = null, now = state() } = {},
) {
  const asked = query(now);
  const image = h("img", {
    alt: alt ?? `Picture of ${visible(row.id)}`,
    loading: "lazy",
    decoding: "async",
    src: picture(asked, row.id, size, place, frame),
  });
  const box = h(
    "span",
    { class: "frame loading" },
    image,
    list.length ? boxes(list, row.width, row.height, size === "small" ? 20 : 34) : null,
  );
  if (row.width > 0 && row.height > 0 && place === 0) {
    image.setAttribute("width", row.width);
    image.setAttribute("height", row.height);
    if (size === "large") box.style.maxWidth = `${2 * row.width}px`; // a small picture is not blown up
  }
  image.addEventListener("load", () => box.classList.remove("loading"), { once: true });
  image.addEventListener("error", () => explain(box, asked, row.id, place, size), { once: true });
  return box;
}

async function explain(box, asked, id, place, size) {
  let why = "it cannot be read";
  try {
    const told = await get("media", { output: asked.output, table: asked.table, id, place, size });
    if (told.error) why = told.error;
  } catch (error) {
    why = error.message;
  }
  box.classList.remove("loading");
  box.replaceChildren(
    h(
      "span",
      { class: "missing" },
      h("strong", {}, "No picture"),
      h("span", {}, visible(why).slice(0, 300)),
    ),
  );
  const here = `${asked.output} ${asked.table}`;
  if (warned !== here && asked.table !== "errors") {
    warned = here;
    warn(
      `Some pictures cannot be read any more; the rest of each unit is shown. The first: ${visible(why).slice(0, 300)}`,
    );
  }
}

/** What a list shows of a unit's media; null if the output does not say where they are. */
export function thumbnail(row, now = state()) {
  if (!output(now).media && !(row.media && now.page === "errors")) return null;
  return framed(row, { list: boxesOf(row), alt: "", now });
}
