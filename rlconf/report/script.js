// Comfort only: values under the pointer or the arrow keys, and a filter. The page reads without it.
"use strict";
document.documentElement.classList.add("scripted");

for (const svg of document.querySelectorAll("svg[data-chart]")) {
  const chart = JSON.parse(svg.dataset.chart);
  const reading = svg.parentElement.querySelector(".reading");
  const cursor = svg.querySelector(".cursor");
  const caption = reading.textContent;
  let place = -1;
  const show = (index) => {
    place = Math.max(0, Math.min(chart.x.length - 1, index));
    cursor.setAttribute("d", `M${chart.x[place]} ${chart.top}V${chart.bottom}`);
    reading.textContent = chart.text[place];
  };
  const hide = () => {
    place = -1;
    cursor.setAttribute("d", "");
    reading.textContent = caption;
  };
  const nearest = (event) => {
    const box = svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
    let low = 0;
    let high = chart.x.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (chart.x[middle] < x) low = middle + 1;
      else high = middle;
    }
    return low > 0 && x - chart.x[low - 1] < chart.x[low] - x ? low - 1 : low;
  };
  svg.addEventListener("pointermove", (event) => show(nearest(event)));
  svg.addEventListener("pointerdown", (event) => show(nearest(event)));
  svg.addEventListener("pointerleave", hide);
  svg.tabIndex = 0;
  svg.addEventListener("blur", hide);
  svg.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: place - 1, ArrowRight: place + 1, Home: 0, End: chart.x.length - 1 };
    if (event.key === "Escape") hide();
    if (!(event.key in moves)) return;
    event.preventDefault();
    show(moves[event.key]);
  });
}

for (const tokens of document.querySelectorAll(".tokens")) {
  const pieces = [...tokens.querySelectorAll(".t")];
  const reading = tokens.parentElement.querySelector(".token-reading");
  let here = -1;
  const show = (index) => {
    pieces[here]?.classList.remove("here");
    here = index;
    pieces[here]?.classList.add("here");
    reading.textContent = pieces[here]?.title ?? "";
  };
  tokens.addEventListener("pointerover", (event) => {
    const index = pieces.indexOf(event.target.closest(".t"));
    if (index >= 0) show(index);
  });
  tokens.addEventListener("pointerleave", () => show(-1));
  tokens.addEventListener("blur", () => show(-1));
  tokens.addEventListener("keydown", (event) => {
    const last = pieces.length - 1;
    const moves = { ArrowLeft: Math.max(0, here - 1), ArrowRight: Math.min(last, here + 1), Home: 0, End: last };
    if (!(event.key in moves)) return;
    event.preventDefault();
    show(moves[event.key]);
  });
}

document.getElementById("find")?.addEventListener("input", (event) => {
  const wanted = event.target.value.trim().toLowerCase();
  for (const group of document.querySelectorAll("details.series")) {
    const charts = [...group.querySelectorAll(".chart")];
    for (const chart of charts) {
      chart.hidden = !chart.querySelector("figcaption").textContent.toLowerCase().includes(wanted);
    }
    group.hidden = charts.every((chart) => chart.hidden);
    group.open = wanted !== "" && !group.hidden;
  }
});
