// The table of examples; the server filters, sorts and cuts it into pages.

import { byId, element, fill, whenChanged } from "./dom.js";
import { count, NONE, plural } from "./format.js";

export const OUTCOMES = {
  fixed: ["fixed", "good"], shorter: ["shorter", "good"], kept: ["kept", ""], unsolved: ["unsolved", "bad"], failed: ["failed", "bad"],
};
let page = 0;

export const outcomeChip = (outcome) => element("span", { class: `chip ${OUTCOMES[outcome][1]}` }, OUTCOMES[outcome][0]);

export function tableUrl() {
  const query = new URLSearchParams({
    text: byId("filter-text").value, outcome: byId("filter-outcome").value, order: byId("filter-order").value, page: String(page),
  });
  return `api/examples?${query}`;
}

export function showTable(table) {
  page = table.page;
  whenChanged("run:table", table, () => {
    byId("examples-count").textContent = table.num_rows ? `${count(table.first + 1)}–${count(table.first + table.rows.length)} of ${plural(table.num_rows, "question")}` : "";
    fill(byId("examples-rows"), table.rows.length ? table.rows.map(row) : element("tr", {}, element("td", { class: "quiet", colspan: 6 }, "No question here yet, or none that fits.")));
    byId("examples-pager").hidden = table.num_pages < 2;
    byId("page-number").textContent = `page ${count(table.page + 1)} of ${count(table.num_pages)}`;
    byId("page-previous").disabled = table.page === 0;
    byId("page-next").disabled = table.page + 1 >= table.num_pages;
  });
}

function row(example) {
  const link = element("a", { href: `#example=${example.id}`, class: "clamp" }, example.question);
  const cells = element("tr", { "data-id": example.id },
    element("td", { class: "text" }, link),
    element("td", { class: "text wide", "data-label": "right answer:" }, element("span", { class: "clamp" }, example.gold)),
    element("td", {}, outcomeChip(example.outcome)),
    element("td", { class: "number", "data-label": "layers" }, count(example.best_layers)),
    element("td", { class: "number", "data-label": "saved" }, example.layers_saved === null ? NONE : String(example.layers_saved).replace("-", "−")),
    element("td", { class: "number wide", "data-label": "paths tried:" }, example.num_failures ? `${count(example.num_paths)} + ${example.num_failures} failed` : count(example.num_paths)));
  cells.addEventListener("click", () => { location.hash = `example=${example.id}`; });
  return cells;
}

export function startTable(refresh) {
  for (const name of Object.keys(OUTCOMES)) byId("filter-outcome").append(element("option", { value: name }, OUTCOMES[name][0]));
  let waiting = 0;
  const changed = () => { page = 0; clearTimeout(waiting); waiting = setTimeout(refresh, 150); };
  byId("examples-filter").addEventListener("input", changed);
  byId("examples-filter").addEventListener("submit", (event) => { event.preventDefault(); changed(); });
  byId("page-previous").addEventListener("click", () => { page -= 1; refresh(); });
  byId("page-next").addEventListener("click", () => { page += 1; refresh(); });
}
