"use strict";
// Goes on looking by itself until the page is full, and shows the edges of tokens. Without it links do the same.
for (const tools of document.querySelectorAll(".tools[hidden]")) tools.hidden = false;

const edges = document.getElementById("edges");
if (edges) edges.addEventListener("change", () => document.getElementById("results").classList.toggle("edges", edges.checked));

const goOn = async () => {
  let stopped = false;
  for (let link; !stopped && (link = document.querySelector("a[data-go-on]")); ) {
    const stop = document.getElementById("stop");
    stop.hidden = false;
    stop.addEventListener("click", () => { stopped = true; stop.hidden = true; });
    const answer = await fetch(link.href);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const found = page.getElementById("results"), progress = page.getElementById("progress");
    if (!found || !progress) return location.assign(link.href); // a fault: its own page says it
    document.getElementById("results").append(...found.children);
    document.getElementById("progress").replaceWith(progress);
  }
};
goOn().catch(() => document.getElementById("progress").append("The program no longer answers."));
