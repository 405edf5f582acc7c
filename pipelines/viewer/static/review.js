// A sample to review, and what the marks say: shares of bad units and agreement, with their intervals.

import { get } from "./api.js";
import { h, named, number, percent } from "./dom.js";
import { isFiltered } from "./filters.js";
import { address, go, query, state } from "./state.js";

function interval({ share, low, high, hits, units }) {
  return units
    ? `${percent(share)} (${percent(low)} to ${percent(high)}), ${number(hits)} of ${number(units)}`
    : "no unit yet";
}

function decimal(value) {
  return value === null ? "–" : value.toFixed(2);
}

export async function review(main, now) {
  const told = await get("agreement", query(now));
  main.replaceChildren(h("h2", {}, "Review"), draw(now), shares(told, now), pairs(told));
}

function draw(now) {
  const size = h("input", {
    type: "number",
    id: "sample-size",
    min: 1,
    max: 100000,
    value: now.sample || 100,
  });
  const seed = h("input", { type: "number", id: "sample-seed", min: 0, value: now.seed || 0 });
  const start = (event) => {
    event.preventDefault();
    go({ page: "units", sample: size.value, seed: seed.value || "0", id: "" });
  };
  return h(
    "form",
    { submit: start },
    h(
      "fieldset",
      {},
      h("legend", {}, "Draw a sample"),
      h(
        "p",
        { class: "small muted" },
        isFiltered(now)
          ? "From the units that the bar above chooses."
          : "From all units; the bar above narrows them by search or SQL.",
        " The same seed draws the same units.",
      ),
      h(
        "div",
        { class: "row" },
        h("label", {}, "Units", size),
        h("label", {}, "Seed", seed),
        h("button", {}, "Draw and review"),
      ),
    ),
  );
}

function shares(told, now) {
  if (!told.reviewers.length)
    return h("p", {}, "Nobody has marked a unit of these as good or bad yet.");
  return h(
    "section",
    { "aria-label": "Shares" },
    h("h3", {}, "Bad units, among those marked"),
    h(
      "p",
      { class: "small muted" },
      now.sample
        ? `Of the ${number(told.units)} units of the sample.`
        : "An estimate for all units only if those marked were drawn at random.",
      " In brackets: the interval of 95 % by Wilson’s score.",
    ),
    h(
      "div",
      { class: "scrolls" },
      h(
        "table",
        {},
        h(
          "thead",
          {},
          h("tr", {}, h("th", { scope: "col" }, "Reviewer"), h("th", { scope: "col" }, "Bad")),
        ),
        h(
          "tbody",
          {},
          ...told.reviewers.map(({ reviewer, bad }) =>
            h("tr", {}, h("th", { scope: "row" }, named(reviewer)), h("td", {}, interval(bad))),
          ),
        ),
      ),
    ),
  );
}

function pairs(told) {
  if (!told.pairs.length)
    return h(
      "p",
      { class: "muted" },
      "Agreement is stated once two people have marked the same units.",
    );
  return h(
    "section",
    { "aria-label": "Agreement" },
    h("h3", {}, "Agreement of two reviewers"),
    h(
      "p",
      { class: "small muted" },
      "Cohen’s kappa is 1 for full agreement and 0 for what chance would give. Its interval of 95 % follows from that of the agreement, with the chance as it was seen.",
    ),
    h(
      "div",
      { class: "scrolls" },
      h(
        "table",
        {},
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            ...["Reviewers", "Agree", "Kappa", "Disagree on"].map((name) =>
              h("th", { scope: "col" }, name),
            ),
          ),
        ),
        h(
          "tbody",
          {},
          ...told.pairs.map((pair) =>
            h(
              "tr",
              {},
              h("th", { scope: "row" }, named(pair.first), " and ", named(pair.second)),
              h("td", {}, interval(pair.agreement)),
              h(
                "td",
                {},
                pair.kappa.value === null
                  ? "not defined: there is one verdict alone"
                  : `${decimal(pair.kappa.value)} (${decimal(pair.kappa.low)} to ${decimal(pair.kappa.high)})`,
              ),
              h(
                "td",
                {},
                ...pair.disagreed
                  .slice(0, 10)
                  .flatMap((id) => [
                    h("a", { href: address({ ...state(), page: "units", id }) }, named(id)),
                    " ",
                  ]),
              ),
            ),
          ),
        ),
      ),
    ),
  );
}
