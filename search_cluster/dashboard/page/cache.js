// What a cache server holds.

import { byId, element, factRows, fill, show, whenChanged } from "./dom.js";
import { bytes, count, plural } from "./format.js";

export function showCache(cache, alone) {
  show(byId("cache-problem"), cache.problem);
  if (alone) {
    byId("title").textContent = "Verdict cache";
    byId("subtitle").textContent = cache.shown_url;
    document.title = "Verdict cache";
  }
  whenChanged("cache", cache, () => {
    const sum = (name) => cache.contexts.reduce((total, item) => total + item[name], 0);
    const atLeast = cache.is_complete ? "" : "at least ";
    factRows(byId("cache-facts"), [
      ["server", cache.shown_url], ["version", cache.server_version], ["memory used", bytes(cache.used_memory_bytes)],
      ["contexts", count(cache.contexts.length)], ["questions", atLeast + count(sum("num_examples"))], ["verdicts", atLeast + count(sum("num_verdicts"))],
    ]);
    byId("cache-note").textContent = cache.is_complete ? "A context is everything but question and path that a verdict depends on; verdicts of two contexts are never mixed." : "The server holds more keys than are counted in one go, so the counts are lower bounds.";
    fill(byId("cache-contexts"), cache.contexts.length ? cache.contexts.map(context) : element("p", { class: "quiet" }, "No verdict yet."));
  });
}

function context(item) {
  const known = item.context ?? {};
  const title = item.context ? `${known.task ?? "?"}, ${plural(known.num_layers ?? 0, "layer")}` : "without a description";
  const body = element("tbody");
  factRows(body, [
    ["questions", count(item.num_examples)], ["verdicts", count(item.num_verdicts)], ["of these with a long output", count(item.num_apart)],
    ["verdicts per question", item.num_examples ? (item.num_verdicts / item.num_examples).toFixed(1) : null],
    ...Object.entries(known).filter(([name]) => name !== "task").map(([name, value]) => [name.replaceAll("_", " "), String(value)]),
  ]);
  return element("div", { class: "context" }, element("div", { class: "line" }, element("h2", {}, title), element("code", { class: "quiet" }, item.namespace)), element("table", { class: "facts" }, body));
}
