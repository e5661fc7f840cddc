// Light, dark, or as the system has it; remembered in this browser.

import { byId } from "./dom.js";

const NAMES = ["system", "light", "dark"];
const KEY = "search-cluster-theme";
const listeners = [];

export const onThemeChange = (listener) => listeners.push(listener);
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

function stored() {
  try { return localStorage.getItem(KEY); } catch { return null; }
}

function apply(name) {
  if (name === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  byId("theme").textContent = `Theme: ${name}`;
  for (const listener of listeners) listener();
}

export function startTheme() {
  let current = NAMES.includes(stored()) ? stored() : "system";
  apply(current);
  byId("theme").addEventListener("click", () => {
    current = NAMES[(NAMES.indexOf(current) + 1) % NAMES.length];
    try { localStorage.setItem(KEY, current); } catch { /* a private window: not remembered */ }
    apply(current);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => listeners.forEach((listener) => listener()));
}
