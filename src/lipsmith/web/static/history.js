// The dubs of this browser, identified by its cookie.

import { isActive, remove, request } from "./api.js";
import { $, showError, formatSeconds } from "./dom.js";

const INTERVAL = 5000; // milliseconds between updates while a dub, which need not be the one that is watched, is active
let lastRequest = 0;
let hasFailed = false; // the last request
let shown = ""; // the jobs of the list, as JSON
let timer = 0;

// An answer that arrives after a later request was made may be out of date.
export async function showHistory(openJob, closeJob) {
  lastRequest += 1;
  const number = lastRequest;
  clearTimeout(timer);
  const updateLater = () => (timer = setTimeout(() => showHistory(openJob, closeJob), INTERVAL));
  let jobs;
  try {
    jobs = (await request("/v1/jobs")).body;
  } catch (error) {
    showError("history-problem", error);
    hasFailed = true;
    if (number === lastRequest) updateLater();
    return [];
  }
  if (number !== lastRequest) return jobs;
  if (jobs.some(isActive)) updateLater();
  if (hasFailed) showError("history-problem", null);
  hasFailed = false;
  const found = JSON.stringify(jobs.map((job) => [job.id, job.state]));
  if (found === shown) return jobs; // a button that is replaced while it is pressed takes no click
  shown = found;
  const focused = document.activeElement.closest("#history li")?.dataset.job;
  const [button] = document.activeElement.classList;
  $("history-empty").hidden = jobs.length > 0;
  $("history").replaceChildren(...jobs.map((job) => historyItem(job, openJob, closeJob)));
  if (focused) $("history").querySelector(`[data-job="${focused}"] .${button}`)?.focus();
  return jobs;
}

// Another tab may have changed or removed the job since it was listed.
function historyItem(job, openJob, closeJob) {
  const act = async (action) => {
    showError("history-problem", null);
    try {
      await action();
    } catch (error) {
      await showHistory(openJob, closeJob);
      showError("history-problem", error);
    }
  };
  const item = $("history-template").content.firstElementChild.cloneNode(true);
  const date = new Date(1000 * job.created).toLocaleString();
  const kind = job.options.preview ? "preview" : "dub";
  const length = job.figures.seconds ? `, ${formatSeconds(job.figures.seconds)}` : "";
  const state = job.state === "cancelled" ? "canceled" : job.state;
  const what = `${date}: ${kind}, ${state}${length}`;
  item.dataset.job = job.id;
  item.querySelector(".what").textContent = what;
  for (const button of item.querySelectorAll("button")) button.setAttribute("aria-label", `${button.textContent} ${what}`);
  item.querySelector(".open").addEventListener("click", () => act(() => openJob(job.id)));
  const removeButton = item.querySelector(".remove");
  removeButton.hidden = isActive(job);
  removeButton.addEventListener("click", () =>
    act(async () => {
      await remove(`/v1/jobs/${job.id}/result`);
      closeJob(job);
      $("history-title").focus({ preventScroll: true });
      await showHistory(openJob, closeJob);
    }),
  );
  return item;
}
