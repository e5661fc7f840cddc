// Asks the server every other second and shows what it says; the part of the address after # chooses the view.
// All addresses are relative: a proxy may serve the page below a path of its own.

import { showCache } from "./cache.js";
import { showDepth, showDepthPictures, wantedDepthTag } from "./depth.js";
import { byId, forget, show } from "./dom.js";
import { isShown, showExample, showExampleProblem, startExample } from "./example.js";
import { showHeader, showRun, startOverview } from "./overview.js";
import { showPictures, showScan, wantedTag } from "./scan.js";
import { showTable, startTable, tableUrl } from "./table.js";
import { startTheme } from "./theme.js";

const PAUSE_MS = 2000;
let sources = null;
let asked = 0;

async function ask(url) {
  const response = await fetch(url, { cache: "no-store" });
  if (response.ok) return response.json();
  const text = await response.text();
  let message = text;
  try { message = JSON.parse(text).error ?? text; } catch { /* a plain text */ }
  throw Object.assign(new Error(message), { answered: true });
}

const exampleId = () => (location.hash.startsWith("#example=") ? location.hash.slice("#example=".length) : null);

async function refresh() {
  asked += 1;
  const mine = asked;
  try {
    sources ??= await ask("api/sources");
    const id = sources.run ? exampleId() : null;
    if (id !== null) {
      if (isShown(id)) return showOnly("example"); // a record never changes
      let [example, run] = [null, null];
      try { [example, run] = await Promise.all([ask(`api/examples/${encodeURIComponent(id)}`), ask("api/run")]); } catch (error) {
        if (!error.answered) throw error;
        if (mine === asked) { showOnly("example"); showExampleProblem(error.message); }
        return;
      }
      if (mine !== asked) return;
      showOnly("example");
      showHeader(run);
      showExample(example);
    } else {
      const [run, table, cache] = await Promise.all([
        sources.run ? ask("api/run") : null, sources.run ? ask(tableUrl()) : null, sources.cache ? ask("api/cache") : null,
      ]);
      if (mine !== asked) return;
      showOnly(sources.run ? "overview" : "cache");
      if (run !== null) { showRun(run); showTable(table); showScan(run.scan); showDepth(run.depth); }
      if (wantedTag(run?.scan) !== null) {
        const pictures = await ask("api/scan");
        if (mine !== asked) return;
        showPictures(pictures);
      }
      if (wantedDepthTag(run?.depth) !== null) {
        const pictures = await ask("api/depth");
        if (mine !== asked) return;
        showDepthPictures(pictures);
      }
      if (cache !== null) { byId("cache").hidden = false; showCache(cache, run === null); }
    }
    show(byId("offline"), "");
  } catch (error) {
    if (mine === asked) show(byId("offline"), error.answered ? error.message : "The dashboard does not answer; it was stopped, or the connection is lost. This page tries again.");
  }
}

function showOnly(id) {
  for (const name of ["loading", "overview", "example", "cache"]) {
    const view = byId(name);
    if (view.hidden === (name === id)) {
      view.hidden = name !== id;
      if (name === id && name === "overview") forget("plot:");
    }
  }
}

// Tables that are wider than the screen say that they scroll, and can be scrolled by keys.
function markWide() {
  for (const box of document.querySelectorAll(".scroll")) {
    const more = box.scrollWidth > box.clientWidth + 1;
    box.classList.toggle("more", more);
    if (more) box.tabIndex = 0;
  }
}

async function live() {
  if (!document.hidden) await refresh();
  setTimeout(live, PAUSE_MS);
}

byId("depth").addEventListener("toggle", refresh);
new ResizeObserver(markWide).observe(document.body);
addEventListener("hashchange", () => { scrollTo(0, 0); refresh(); });
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
startOverview();
startExample();
startTheme();
startTable(refresh);
live();
