"use strict";
// Filters and expands. Without it everything is there and readable; the tools that need it stay hidden.
for (const tools of document.querySelectorAll(".tools")) tools.hidden = false;

const filter = (input) => {
  const list = document.getElementById(input.dataset.filters);
  const output = document.getElementById(input.dataset.says);
  const items = [...list.querySelectorAll("[data-item]")];
  const texts = items.map((item) => item.textContent.toLowerCase());
  const run = () => {
    const wanted = input.value.trim().toLowerCase();
    let shown = 0;
    items.forEach((item, place) => {
      item.hidden = !texts[place].includes(wanted);
      shown += item.hidden ? 0 : 1;
    });
    output.textContent = wanted ? `${shown} of ${items.length} shown` : "";
  };
  input.addEventListener("input", run);
};
document.querySelectorAll("input[data-filters]").forEach(filter);

for (const button of document.querySelectorAll("button[data-opens]")) {
  button.addEventListener("click", () => {
    const all = [...document.getElementById(button.dataset.opens).querySelectorAll("details.item")];
    const open = all.some((item) => !item.open);
    for (const item of all) item.open = open;
    button.textContent = open ? "Collapse all" : "Expand all";
  });
}

const split = document.getElementById("split-of-rows");
if (split) {
  const choose = () => {
    for (const part of document.querySelectorAll("[data-split]")) part.hidden = part.dataset.split !== split.value;
  };
  split.addEventListener("change", choose);
  choose();
}
const edges = document.getElementById("edges");
if (edges) edges.addEventListener("change", () => document.getElementById("rows").classList.toggle("edges", edges.checked));

const sections = [...document.querySelectorAll("main > section")];
const mark = () => {
  const box = (section) => section.getBoundingClientRect();
  const ended = innerHeight + scrollY >= document.documentElement.scrollHeight - 2;
  // At its end the page can't scroll on, so a short section never reaches the top: what was asked for counts, else the last.
  const atEnd = sections.find((section) => section.matches(":target") && box(section).bottom > 80) ?? sections.at(-1);
  const current = ended ? atEnd : sections.findLast((section) => box(section).top < 120);
  for (const link of document.querySelectorAll("nav.contents a")) {
    link.hash === `#${current?.id}` ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current");
  }
};
for (const event of ["scroll", "resize", "hashchange"]) addEventListener(event, mark, { passive: true });
mark();
