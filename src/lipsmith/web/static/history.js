// The dubs that this browser asked for, by its cookie.

import { ask } from "./api.js";
import { $, complain, seconds } from "./dom.js";

export async function showHistory(open) {
  let jobs = [];
  try {
    jobs = (await ask("/v1/jobs")).body;
  } catch (error) {
    complain("result-problem", error);
  }
  $("history-empty").hidden = jobs.length > 0;
  $("history").replaceChildren(...jobs.map((job) => row(job, open)));
}

function row(job, open) {
  const item = $("history-template").content.firstElementChild.cloneNode(true);
  const when = new Date(1000 * job.created).toLocaleString();
  const what = job.options.preview ? "preview" : "dub";
  const length = job.figures.seconds ? `, ${seconds(job.figures.seconds)}` : "";
  item.querySelector(".what").textContent = `${when}: ${what}, ${job.state}${length}`;
  item.querySelector(".open").addEventListener("click", () => open(job));
  const remove = item.querySelector(".remove");
  remove.hidden = ["queued", "running"].includes(job.state);
  remove.addEventListener("click", async () => {
    try {
      await ask(`/v1/jobs/${job.id}/result`, { method: "DELETE" });
      item.remove();
      $("history-empty").hidden = $("history").children.length > 0;
    } catch (error) {
      complain("result-problem", error);
    }
  });
  return item;
}
