"use strict";
(() => {
  const byID = (id) => document.getElementById(id);
  const search = byID("search");
  const filters = [...document.querySelectorAll("[data-filter]")];
  const suites = [...document.querySelectorAll(".suite")];
  const checks = [...document.querySelectorAll(".check")].map((element) => ({
    element,
    state: element.dataset.state,
    text: element.textContent.toLowerCase(),
  }));

  const show = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const states = filters
      .filter((button) => button.getAttribute("aria-pressed") === "true")
      .map((button) => button.dataset.filter);
    let shown = 0;
    for (const check of checks) {
      const wanted = (states.length === 0 || states.includes(check.state)) &&
        words.every((word) => check.text.includes(word));
      check.element.hidden = !wanted;
      shown += wanted ? 1 : 0;
    }
    for (const suite of suites) {
      suite.hidden = suite.querySelector(".check:not([hidden])") === null;
    }
    const all = words.length === 0 && states.length === 0;
    byID("shown").textContent = all ? "" : shown === 0
      ? "No check matches."
      : `${shown} of ${checks.length} checks shown`;
  };

  const clear = () => {
    search.value = "";
    filters.forEach((button) => button.setAttribute("aria-pressed", "false"));
    show();
  };

  // A link to a check opens it, even where a filter hides it.
  const follow = () => {
    let id = location.hash.slice(1);
    try {
      id = decodeURIComponent(id);
    } catch {
      return;
    }
    const target = byID(id);
    if (target === null || !target.classList.contains("check")) {
      return;
    }
    if (target.hidden) {
      clear();
    }
    target.open = true;
    target.scrollIntoView();
  };

  const setAll = (open) => {
    for (const check of checks) {
      if (!check.element.hidden) {
        check.element.open = open;
      }
    }
  };

  byID("controls").hidden = false;
  byID("controls").addEventListener("submit", (event) => event.preventDefault());
  byID("open-all").addEventListener("click", () => setAll(true));
  byID("close-all").addEventListener("click", () => setAll(false));
  search.addEventListener("input", show);
  for (const button of filters) {
    button.addEventListener("click", () => {
      const pressed = button.getAttribute("aria-pressed") === "true";
      button.setAttribute("aria-pressed", String(!pressed));
      show();
    });
  }
  window.addEventListener("hashchange", follow);
  // The same link followed twice changes no hash.
  document.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="#"]');
    if (link !== null && link.hash === location.hash) {
      follow();
    }
  });
  follow();

  // Browsers without ::details-content print what is open and no more.
  let opened = [];
  window.addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    opened.forEach((details) => { details.open = true; });
  });
  window.addEventListener("afterprint", () => {
    opened.forEach((details) => { details.open = false; });
  });
})();
