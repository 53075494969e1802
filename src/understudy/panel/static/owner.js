// Keeps the owner's figures fresh and makes an invitation's link whole. Nothing depends on it.
"use strict";

(() => {
  const EVERY = 4000; // milliseconds
  const link = document.getElementById("link");
  const copy = document.getElementById("copy");
  if (link) {
    link.textContent = link.href;
    copy.hidden = false;
    copy.addEventListener("click", async () => {
      await navigator.clipboard.writeText(link.href);
      copy.textContent = "Copied";
    });
  }

  let known = null;
  const renew = async () => {
    if (document.visibilityState !== "visible") return;
    const figures = await fetch("/owner/live");
    if (figures.status === 401) return void window.location.assign("/owner/login");
    if (!figures.ok) return;
    const text = await figures.text();
    const live = document.getElementById("live");
    if (text === known || live.contains(document.activeElement)) return;
    const page = await fetch("/owner");
    if (!page.ok || page.redirected) return;
    const fresh = new DOMParser().parseFromString(await page.text(), "text/html");
    const tally = live.querySelector("#tally");
    const now = fresh.getElementById("tally");
    for (const part of live.querySelectorAll(":scope > :not(#tally)")) part.remove();
    live.append(...fresh.querySelectorAll("#live > :not(#tally)"));
    if (tally.textContent !== now.textContent) tally.textContent = now.textContent;
    known = text;
  };
  const again = () => renew().catch(() => {}).finally(() => setTimeout(again, EVERY));
  setTimeout(again, EVERY);
})();
