// One unit: its picture with boxes, its text in three forms, all its values, and its marks.

import { texts } from "./answer.js";
import { get } from "./api.js";
import { linkAll, places } from "./blocks.js";
import { h, named, number, say, visible } from "./dom.js";
import { highlight, listed, loadMore } from "./list.js";
import { marks } from "./marks.js";
import { boxesOf, framed } from "./pictures.js";
import { columns, go, output, query, state } from "./state.js";

const panel = document.getElementById("unit");
let opened = null;

linkAll(panel);

export function closeUnit() {
  if (panel.hidden) return;
  panel.hidden = true;
  document.getElementById("columns").classList.remove("open", "wide");
  panel.replaceChildren();
  const link = document.querySelector("#list a[aria-current]");
  highlight("");
  opened = null;
  if (document.activeElement === document.body) link?.focus();
}

/** Opens the unit that the address names. */
export async function showUnit(now, whenMarked) {
  const key = `${now.output} ${now.page} ${now.id}`;
  if (opened === key) return;
  opened = key;
  highlight(now.id);
  const found = await get("unit", { ...query(now), id: now.id });
  if (opened !== key) return;
  const wasHidden = panel.hidden;
  panel.hidden = false;
  document.getElementById("columns").classList.add("open");
  document.getElementById("columns").classList.toggle("wide", found.kind === "document");
  const row = found.values;
  panel.replaceChildren(
    head(row),
    ...(now.page === "units" ? [marks(found, now, whenMarked)] : []),
    beside(found),
    h("div", { class: "beside" }, media(found, now), boxList(row), texts(found, now)),
    values(found, now),
  );
  panel.scrollTop = 0;
  panel.setAttribute("aria-label", `Unit ${visible(now.id)}`);
  if (wasHidden || matchMedia("(max-width: 56rem)").matches) {
    panel.querySelector("h2").focus({ preventScroll: true });
    if (matchMedia("(max-width: 56rem)").matches) scrollTo(0, 0);
  }
}

function head(row) {
  return h(
    "div",
    { class: "row between" },
    h("h2", { tabindex: "-1" }, named(row.id)),
    h(
      "span",
      { class: "row" },
      h(
        "button",
        { type: "button", "aria-label": "Previous unit", title: "Key: k", click: () => step(-1) },
        "↑",
      ),
      h(
        "button",
        { type: "button", "aria-label": "Next unit", title: "Key: j", click: () => step(1) },
        "↓",
      ),
      h(
        "button",
        {
          type: "button",
          "aria-label": "Close the unit",
          title: "Key: Esc",
          click: () => go({ id: "" }),
        },
        "✕",
      ),
    ),
  );
}

/** Opens the unit before or after the open one in the list. */
export async function step(by) {
  const place = listed().rows.findIndex((row) => row.id === state().id);
  if (by > 0 && place === listed().rows.length - 1) await loadMore();
  const next = listed().rows[place < 0 ? 0 : place + by];
  if (!next) return say(by > 0 ? "This is the last unit." : "This is the first unit.");
  go({ id: next.id }, { replace: Boolean(state().id) });
  document.querySelector("#list a[aria-current]")?.scrollIntoView({ block: "nearest" });
}

function beside(found) {
  if (!found.beside) return "";
  const page = (id, text) =>
    h("button", { type: "button", disabled: !id, click: () => go({ id }) }, text);
  return h(
    "div",
    { class: "row" },
    page(found.beside.before, "← Page before"),
    h("span", {}, `Page ${found.values.page} of `, named(found.values.parent)),
    page(found.beside.after, "Page after →"),
  );
}

function media(found, now) {
  const there = output(now);
  if (!found.places || !(there.media || now.page === "errors")) {
    return h(
      "p",
      { class: "muted" },
      found.files.length
        ? "Media are not read."
        : "The output does not say where this unit's media are; they came inside the manifest or a shard.",
    );
  }
  const files = h(
    "p",
    { class: "small muted" },
    ...found.files.flatMap((file) => [named(file), h("br")]),
  );
  if (found.kind === "video") return h("div", {}, clip(found, now), files);
  const list = boxesOf(found.values);
  const pictures = Array.from({ length: found.places }, (_, place) =>
    framed(found.values, {
      size: "large",
      place,
      list: place === 0 ? list : [],
      now,
    }),
  );
  const overlay = places(found.blocks ?? [], found.values.width, found.values.height);
  if (overlay) pictures[0]?.append(overlay);
  const box = h("div", { class: "large" }, ...pictures);
  const zoom = h(
    "button",
    {
      type: "button",
      "aria-pressed": "false",
      click: () => {
        zoom.setAttribute("aria-pressed", String(box.classList.toggle("zoomed")));
      },
    },
    "Larger",
  );
  const outlines = h(
    "button",
    {
      type: "button",
      "aria-pressed": "true",
      click: () => {
        const hidden = outlines.getAttribute("aria-pressed") === "true";
        outlines.setAttribute("aria-pressed", String(!hidden));
        for (const drawn of box.querySelectorAll(".boxes, .places"))
          drawn.style.display = hidden ? "none" : "";
      },
    },
    "Boxes",
  );
  return h("div", {}, box, h("div", { class: "row" }, zoom, list.length || overlay ? outlines : ""), files);
}

function clip(found, now) {
  const large = h(
    "div",
    { class: "large" },
    framed(found.values, { size: "large", alt: "Frame 1", list: [], now }),
  );
  const strip = h("ol", { class: "frames", "aria-label": "Frames" });
  let shown = 0,
    times = [],
    playing = null;
  const open = (frame) => {
    shown = frame;
    large
      .querySelector("img")
      ?.setAttribute(
        "src",
        `/picture?${new URLSearchParams({ output: now.output, table: query(now).table, id: found.values.id, size: "large", frame })}`,
      );
    strip
      .querySelectorAll("button")
      .forEach((button, index) => button.setAttribute("aria-pressed", String(index === frame)));
  };
  const play = h(
    "button",
    {
      type: "button",
      "aria-pressed": "false",
      click: () => {
        playing = playing
          ? clearInterval(playing)
          : setInterval(
              () => (play.isConnected ? open((shown + 1) % times.length) : clearInterval(playing)),
              400,
            );
        play.setAttribute("aria-pressed", String(Boolean(playing)));
      },
    },
    "Play the frames",
  );
  get("media", { ...query(now), id: found.values.id, size: "small" }).then((told) => {
    times = told.times ?? [];
    strip.append(
      ...times.map((time, frame) =>
        h(
          "li",
          {},
          h(
            "button",
            { type: "button", "aria-pressed": String(frame === 0), click: () => open(frame) },
            framed(found.values, { frame, alt: "", now }),
            `${time.toFixed(2)} s`,
          ),
        ),
      ),
    );
    play.disabled = times.length < 2;
  });
  return h(
    "div",
    {},
    large,
    h(
      "div",
      { class: "row" },
      play,
      h("span", { class: "small muted" }, "The frames that the model saw, by their seconds."),
    ),
    strip,
  );
}

function boxList(row) {
  const list = boxesOf(row);
  if (!list.length) return "";
  return h(
    "details",
    {},
    h("summary", {}, `${list.length} boxes`),
    h(
      "ol",
      { class: "small" },
      ...list.map((box, index) =>
        h(
          "li",
          { "data-box": index, tabindex: "0" },
          named(box.label ?? ""),
          ` ${[box.x1, box.y1, box.x2, box.y2].map((side) => Math.round(side)).join(", ")}`,
        ),
      ),
    ),
  );
}

function values(found, now) {
  const rest = columns(now).filter(
    (column) => column.name !== "id" && !column.answer && column.kind !== "boxes",
  );
  const shown = rest.filter(
    (column) =>
      found.values[column.name] !== null &&
      found.values[column.name] !== undefined &&
      found.values[column.name] !== "",
  );
  return h(
    "section",
    { "aria-label": "Values" },
    h("h3", {}, "Values"),
    h(
      "dl",
      { class: "values" },
      ...shown.flatMap((column) => [
        h("dt", {}, visible(column.name)),
        h(
          "dd",
          {},
          h(
            "bdi",
            {},
            column.kind === "number"
              ? number(found.values[column.name])
              : String(found.values[column.name]),
          ),
        ),
      ]),
    ),
  );
}

