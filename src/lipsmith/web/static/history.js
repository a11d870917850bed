// The dubs of this browser, identified by its cookie.

import { request } from "./api.js";
import { $, showError, formatSeconds } from "./dom.js";

export async function showHistory(openJob) {
  let jobs = [];
  try {
    jobs = (await request("/v1/jobs")).body;
  } catch (error) {
    showError("result-problem", error);
  }
  $("history-empty").hidden = jobs.length > 0;
  $("history").replaceChildren(...jobs.map((job) => historyItem(job, openJob)));
}

function historyItem(job, openJob) {
  const item = $("history-template").content.firstElementChild.cloneNode(true);
  const date = new Date(1000 * job.created).toLocaleString();
  const kind = job.options.preview ? "preview" : "dub";
  const length = job.figures.seconds ? `, ${formatSeconds(job.figures.seconds)}` : "";
  item.querySelector(".what").textContent = `${date}: ${kind}, ${job.state}${length}`;
  item.querySelector(".open").addEventListener("click", () => openJob(job));
  const remove = item.querySelector(".remove");
  remove.hidden = ["queued", "running"].includes(job.state);
  remove.addEventListener("click", async () => {
    try {
      await request(`/v1/jobs/${job.id}/result`, { method: "DELETE" });
      item.remove();
      $("history-empty").hidden = $("history").children.length > 0;
    } catch (error) {
      showError("result-problem", error);
    }
  });
  return item;
}
