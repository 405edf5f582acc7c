// The blocks of a page: a list in the order of reading, and their places on the picture. To point at one,
// or to reach it by Tab, shows the other; Enter or a click leads there.

import { h, tree, visible } from "./dom.js";

const LONGEST_LABEL = 80; // characters that are read out of a block's place

/** What is pointed at or focused in the panel lights up with all that has the same number. */
export function linkAll(panel) {
  const chosen = { pointed: null, focused: null };
  const show = () => {
    for (const kind of ["data-block", "data-box"]) {
      const numbers = Object.values(chosen).map((one) =>
        one?.closest(`[${kind}]`)?.getAttribute(kind),
      );
      for (const one of panel.querySelectorAll(`[${kind}]`))
        one.classList.toggle("lit", numbers.includes(one.getAttribute(kind)));
    }
  };
  const choose = (how, event, on) =>
    panel.addEventListener(event, ({ target }) => {
      chosen[how] = on ? target : null;
      show();
    });
  choose("pointed", "mouseover", true);
  choose("pointed", "mouseleave", false);
  choose("focused", "focusin", true);
  choose("focused", "focusout", false);
}

function go(selector) {
  const other = document.querySelector(selector);
  other?.focus({ preventScroll: true });
  other?.scrollIntoView({ block: "nearest" });
}

/** The blocks as a list; those with a place lead to it. */
export function blockList(blocks) {
  const items = blocks.map((block, index) => {
    const toPlace = () => block.box && go(`#unit .places [data-block="${index}"]`);
    return h(
      "li",
      {
        "data-block": index,
        tabindex: "0",
        click: toPlace,
        keydown: (event) => {
          if (event.key !== "Enter") return;
          event.preventDefault(); // else it would press what is focused next
          toPlace();
        },
      },
      h("span", { class: "kind small muted" }, visible(block.kind)),
      h("div", {}, ...tree(block.content)),
    );
  });
  return h("ol", { class: "blocks markdown", "aria-label": "Blocks in reading order" }, ...items);
}

/** The places of the blocks over a picture of this width and height; null if none is known. */
export function places(blocks, width, height) {
  const known = blocks.filter((block) => block.box).length;
  if (!known || !(width > 0 && height > 0)) return null;
  const overlay = h("div", { class: "places", role: "group", "aria-label": "Places of the blocks" });
  blocks.forEach((block, index) => {
    if (!block.box) return;
    const [x1, y1, x2, y2] = block.box;
    const words = visible(block.label).slice(0, LONGEST_LABEL);
    const place = h(
      "button",
      {
        type: "button",
        "data-block": index,
        "aria-label": `Block ${index + 1} of ${blocks.length}, ${visible(block.kind)}: ${words}`,
        click: () => {
          document.querySelector('#unit [data-form="blocks"][aria-pressed="false"]')?.click();
          go(`#unit .blocks [data-block="${index}"]`);
        },
      },
    );
    place.style.left = `${(100 * Math.min(x1, x2)) / width}%`;
    place.style.top = `${(100 * Math.min(y1, y2)) / height}%`;
    place.style.width = `${(100 * Math.abs(x2 - x1)) / width}%`;
    place.style.height = `${(100 * Math.abs(y2 - y1)) / height}%`;
    overlay.append(place);
  });
  return overlay;
}
