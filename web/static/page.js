// Submit a file, watch its job, see what came of it. Text from outside only ever becomes textContent.
const $ = (id) => document.getElementById(id);
const FRAMES_SHOWN = 200;
let pipelines = [];
let current = null; // the job on show
let watching = 0; // bumped to end the watch of an older job

const key = () => sessionStorage.getItem("framequeue.key") ?? "";

async function call(path, options = {}) {
  const headers = { Authorization: `Bearer ${key()}`, ...options.headers };
  const response = await fetch(path, { ...options, headers });
  if (response.ok || response.status === 304) return response;
  throw new Error(told(await response.json().catch(() => ({ title: `the server answered ${response.status}` }))));
}

function told(problem) {
  const faults = (problem.faults ?? []).map((fault) => `${fault.path}: ${fault.message}`);
  const detail = problem.detail === "see faults" ? "" : problem.detail;
  return [problem.title, detail, problem.advice, ...faults].filter(Boolean).join("\n");
}

function make(tag, text, attributes = {}) {
  const element = Object.assign(document.createElement(tag), attributes);
  if (text !== undefined && text !== null) element.textContent = text;
  return element;
}

// --- key -------------------------------------------------------------------------------------------------------------
$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("framequeue.key", $("key").value.trim());
  $("key").value = "";
  enter();
});

async function enter() {
  try {
    pipelines = (await (await call("/v1/pipelines")).json()).pipelines;
  } catch (error) {
    $("key-state").textContent = error.message;
    $("job-fields").disabled = true;
    return;
  }
  $("key-state").textContent = `A key is in use (...${key().slice(-4)}).`;
  $("job-fields").disabled = pipelines.length === 0;
  $("pipeline").replaceChildren(...pipelines.map((one) => make("option", one.name, { value: one.name })));
  if (pipelines.length === 0) $("pipeline-text").textContent = "No pipeline is registered yet: start a worker.";
  else showPipeline();
  listRecent();
  const wanted = new URLSearchParams(location.hash.slice(1)).get("job");
  if (wanted) watch(wanted);
}

// --- the form of a pipeline's parameters -----------------------------------------------------------------------------
$("pipeline").addEventListener("change", showPipeline);

function showPipeline() {
  const one = pipelines.find((each) => each.name === $("pipeline").value);
  const idle = one.live_workers === 0 ? " No worker serves it just now: the job will wait." : "";
  $("pipeline-text").textContent = one.description + idle;
  $("params").replaceChildren(...fieldsOf(one.params_schema, []));
}

function fieldsOf(schema, path) {
  return Object.entries(schema.properties ?? {}).flatMap(([name, part]) => {
    const here = [...path, name];
    if (part.type === "object" && part.properties) return fieldsOf(part, here);
    const id = `param-${here.join("-")}`;
    const input = inputOf(part);
    Object.assign(input, { id });
    Object.assign(input.dataset, { path: JSON.stringify(here), kind: part.type ?? "json" });
    const hint = part.description ? [make("p", part.description, { className: "hint" })] : [];
    return [make("label", here.join("."), { htmlFor: id }), input, ...hint];
  });
}

function inputOf(part) {
  if (part.enum) {
    const select = make("select");
    select.append(...part.enum.map((value) => make("option", String(value), { value: String(value) })));
    select.value = String(part.default ?? part.enum[0]);
    select.dataset.first = select.value;
    return select;
  }
  if (part.type === "boolean") return make("input", null, { type: "checkbox", checked: Boolean(part.default) });
  const number = part.type === "integer" || part.type === "number";
  const input = make("input", null, { type: number ? "number" : "text" });
  if (number) input.step = part.type === "integer" ? "1" : "any";
  if (part.minimum !== undefined) input.min = part.minimum;
  if (part.maximum !== undefined) input.max = part.maximum;
  if (part.default !== undefined && part.default !== null) {
    input.placeholder = typeof part.default === "object" ? JSON.stringify(part.default) : String(part.default);
  }
  return input;
}

// What was left as it is stays out: the server fills the defaults in.
function chosenParams() {
  const params = {};
  for (const input of $("params").querySelectorAll("[data-path]")) {
    const value = valueOf(input);
    if (value === undefined) continue;
    const path = JSON.parse(input.dataset.path);
    let place = params;
    for (const name of path.slice(0, -1)) place = place[name] ??= {};
    place[path.at(-1)] = value;
  }
  return params;
}

function valueOf(input) {
  if (input.type === "checkbox") return input.checked === input.defaultChecked ? undefined : input.checked;
  if (input.tagName === "SELECT") return input.value === input.dataset.first ? undefined : input.value;
  if (input.value === "") return undefined;
  if (input.type === "number") return Number(input.value);
  if (input.dataset.kind === "string") return input.value;
  try { return JSON.parse(input.value); } catch { return input.value; }
}

// --- submit ----------------------------------------------------------------------------------------------------------
$("job-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  $("submit-error").textContent = "";
  $("job-fields").disabled = true;
  try {
    const form = new FormData();
    form.append("pipeline", $("pipeline").value);
    form.append("params", JSON.stringify(chosenParams()));
    form.append("file", $("file").files[0]); // last: what is wrong with the rest is told before it is sent
    const job = await send(form);
    watch(job.id);
    listRecent();
  } catch (error) {
    $("submit-error").textContent = error.message;
  } finally {
    $("job-fields").disabled = false;
    $("upload").hidden = true;
  }
});

// XMLHttpRequest, since fetch tells nothing of an upload's progress.
function send(form) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", "/v1/jobs");
    request.setRequestHeader("Authorization", `Bearer ${key()}`);
    request.setRequestHeader("Idempotency-Key", randomWord());
    request.responseType = "json";
    request.upload.addEventListener("progress", (event) => {
      $("upload").hidden = false;
      if (event.lengthComputable) $("upload").value = event.loaded / event.total;
    });
    request.addEventListener("load", () => {
      if (request.status < 300) resolve(request.response);
      else reject(new Error(told(request.response ?? { title: `the server answered ${request.status}` })));
    });
    request.addEventListener("error", () => reject(new Error("The upload broke off.")));
    request.send(form);
  });
}

// crypto.randomUUID exists only on https and localhost.
function randomWord() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// --- watch -----------------------------------------------------------------------------------------------------------
async function watch(id) {
  const mine = ++watching;
  history.replaceState(null, "", `#job=${id}`);
  $("job").hidden = false;
  $("outcome").hidden = true;
  let etag = "";
  for (let failures = 0; mine === watching; ) {
    try {
      const response = await call(`/v1/jobs/${id}?wait=20`, etag ? { headers: { "If-None-Match": etag } } : {});
      failures = 0;
      if (response.status === 304) continue;
      const first = etag === "";
      etag = response.headers.get("ETag") ?? "";
      const job = await response.json();
      if (mine !== watching) return;
      showJob(job);
      if (job.terminal) return showOutcome(job, mine);
      if (first) continue;
      await pause(300);
    } catch (error) {
      if (mine !== watching) return;
      $("job-error").textContent = error.message;
      if (++failures > 5) return;
      await pause(1000 * failures);
    }
  }
}

const pause = (millis) => new Promise((resolve) => { setTimeout(resolve, millis); });

const WAITS = {
  input: "its input is being fetched", time: "its time has not come", resume: "paused by an operator",
  worker: "no worker is there for it", turn: "its turn",
};

function showJob(job) {
  current = job;
  $("job-id").textContent = job.id;
  const facts = [job.state];
  if (job.stage && !job.terminal) facts.push(job.stage);
  if (job.waiting_for) facts.push(`waits for: ${WAITS[job.waiting_for] ?? job.waiting_for}`);
  if (job.queue_position) facts.push(`${job.queue_position} before it`);
  if (job.eta_seconds !== null && !job.terminal) facts.push(`about ${Math.ceil(job.eta_seconds)} s left`);
  if (job.frames) facts.push(`${job.frames} frames`);
  $("job-state").textContent = facts.join(" · ");
  $("job-progress").value = job.state === "succeeded" ? 1 : job.progress;
  $("cancel").disabled = job.terminal;
  $("again").disabled = !job.terminal;
  $("job-error").textContent = job.error ? [job.error.code, job.error.message, job.error.advice].filter(Boolean).join("\n") : "";
  $("warnings").replaceChildren(...job.warnings.map((one) => make("li", `${one.code}: ${one.message}`)));
}

async function showOutcome(job, mine) {
  listRecent();
  const rows = (await (await call(`/v1/jobs/${job.id}/frames?limit=${FRAMES_SHOWN}`)).json()).frames;
  if (mine !== watching) return;
  $("outcome").hidden = false;
  $("summary").textContent = job.summary ? JSON.stringify(job.summary, null, 2) : "none";
  showFrames(rows);
  const names = job.state === "succeeded" ? ["json", "jsonl", "csv"] : [];
  if (names.length && rows.some((row) => Array.isArray(row.objects))) names.push("coco", "mot");
  $("downloads").replaceChildren(...names.map((name) => {
    const button = make("button", name, { type: "button" });
    button.addEventListener("click", () => download(job, name));
    return button;
  }));
}

function showFrames(rows) {
  const names = [...new Set(rows.flatMap(Object.keys))].filter((name) => !["pts", "sampler"].includes(name));
  const head = make("tr");
  head.append(...names.map((name) => make("th", name, { scope: "col" })));
  $("frames").tHead.replaceChildren(head);
  $("frames").tBodies[0].replaceChildren(...rows.map((row) => {
    const line = make("tr");
    line.append(...names.map((name) => make("td", cell(row[name]))));
    return line;
  }));
}

function cell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(Math.round(value * 1000) / 1000);
  if (Array.isArray(value) && value.every((one) => one && one.label)) {
    return value.map((one) => `${one.label} ${one.score ? one.score.toFixed(2) : ""}`.trim()).join(", ");
  }
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

async function download(job, format) {
  try {
    const response = await call(`/v1/jobs/${job.id}/result?format=${format}`);
    const name = /filename="([^"]+)"/.exec(response.headers.get("Content-Disposition") ?? "")?.[1] ?? `${job.id}.${format}`;
    const url = URL.createObjectURL(await response.blob());
    make("a", null, { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  } catch (error) {
    $("job-error").textContent = error.message;
  }
}

$("cancel").addEventListener("click", () => act("cancel"));
$("again").addEventListener("click", () => act("replay"));

async function act(verb) {
  try {
    await call(`/v1/jobs/${current.id}/${verb}`, { method: "POST" });
    watch(current.id);
  } catch (error) {
    $("job-error").textContent = error.message;
  }
}

// --- recent jobs -----------------------------------------------------------------------------------------------------
async function listRecent() {
  const { jobs } = await (await call("/v1/jobs?limit=20")).json();
  $("recent").tBodies[0].replaceChildren(...jobs.map((job) => {
    const line = make("tr");
    const show = make("a", job.input.filename ?? job.id, { href: `#job=${job.id}` });
    show.addEventListener("click", (event) => { event.preventDefault(); watch(job.id); });
    const file = make("td");
    file.append(show);
    line.append(make("td", new Date(job.times.created_at).toLocaleString()), file, make("td", job.pipeline), make("td", job.state));
    return line;
  }));
}

if (key()) enter();
