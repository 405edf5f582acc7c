// Keys for all that a reviewer does often. They can be switched off, for people whose tools type for them.

import { h, say } from "./dom.js";
import { edit, judge, undo } from "./marks.js";
import { go, state } from "./state.js";
import { step } from "./unit.js";

const KEYS = [
  ["j", "Next unit", () => step(1)],
  ["k", "Previous unit", () => step(-1)],
  ["g", "Mark as good", () => judge("good")],
  ["b", "Mark as bad", () => judge("bad")],
  ["e", "Edit the text", () => edit("text")],
  ["n", "Write a note", () => edit("note")],
  ["u", "Undo the last mark", () => undo()],
  ["/", "Search", () => document.getElementById("search")?.focus()],
  ["v", "Gallery or table", () => go({ view: state().view === "table" ? "gallery" : "table" })],
  ["?", "These keys", () => keysDialog().showModal()],
];
const off = () => localStorage.getItem("keys") === "off";

export function keyboard() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]"))
      return;
    const typing = event.target.closest("input, textarea, select");
    if (event.key === "Escape") {
      if (typing) typing.blur();
      else if (state().id) go({ id: "" });
      return;
    }
    const found = KEYS.find(([key]) => key === event.key);
    if (typing || !found || off()) return;
    event.preventDefault();
    found[2]();
  });
}

export function keysDialog() {
  const dialog = document.getElementById("keys");
  const check = h("input", {
    type: "checkbox",
    checked: !off(),
    change: () => {
      localStorage.setItem("keys", check.checked ? "on" : "off");
      say(check.checked ? "Keys are on." : "Keys are off.");
    },
  });
  dialog.replaceChildren(
    h("h2", { id: "keys-title" }, "Keys"),
    h(
      "dl",
      { class: "values" },
      ...KEYS.flatMap(([key, text]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, text)]),
      h("dt", {}, h("kbd", {}, "Esc")),
      h("dd", {}, "Close the unit"),
    ),
    h("p", {}, h("label", {}, check, "Keys of one letter are on")),
    h("form", { method: "dialog" }, h("button", {}, "Close")),
  );
  return dialog;
}
