// What a person sees and does: choose an image, segment it, look at the segmentation and save it.

import {readLabels} from './steps/labels.js';
import {Viewer} from './viewer.js';

// Of the labels 1, 2, ...: those of Okabe and Ito, which colour-blind readers tell apart.
const COLORS = [[230, 159, 0], [86, 180, 233], [0, 158, 115], [213, 94, 0], [204, 121, 167], [240, 228, 66], [0, 114, 178]];

const element = (id) => document.getElementById(id);
const model = await (await fetch('model.json')).json();
const {names} = readLabels(model);
const colors = new Map(names.map(([label], index) => [label, COLORS[index % COLORS.length]]));

let worker = startWorker();
let viewer = null;
let files = [];

describe();
await startViewer();
setState('ready');
say('');

/** The state of the page decides what of it is shown (style.css): ready, opening, opened, running or done. */
function setState(state) {
  document.body.dataset.state = state;
  element('segment').disabled = !['opened', 'done'].includes(state);
}

function describe() {
  const title = model.dataset.replace(/^Dataset\d+_/, '').replaceAll('_', ' ');
  document.title = `Segment ${title}`;
  element('title').textContent = title;
  element('purpose').textContent = `Segments ${listed(names.map(([, name]) => name))} in 3D images.`;
  const network = `${model.trainer}, ${model.configuration}, ${model.folds.length} network${model.folds.length > 1 ? 's' : ''}`;
  element('model').textContent = network;
  const channels = model.channels.map(({name}) => name);
  element('wanted').textContent = channels.length === 1
    ? `an image (${channels}, .nii or .nii.gz)`
    : `the ${channels.length} files of an image together (.nii or .nii.gz; sorted by name: ${channels.join(', ')})`;
  element('files').multiple = channels.length > 1;
  element('mirroring-row').hidden = model.mirror_axes.length === 0;
  element('legend').replaceChildren(...names.map(([label, name]) => legendEntry(label, name)));
}

function legendEntry(label, name) {
  const entry = document.createElement('li');
  const swatch = document.createElement('span');
  swatch.className = 'swatch';
  swatch.style.background = `rgb(${colors.get(label).join(' ')})`;
  const volume = document.createElement('span');
  volume.className = 'volume';
  entry.append(swatch, name, volume);
  return entry;
}

async function startViewer() {
  try {
    const started = new Viewer();
    await started.attach(element('planes'));
    viewer = started;
  } catch {
    element('no-viewer').hidden = false;
  }
}

async function open(chosen) {
  if (!chosen.length || ['opening', 'running'].includes(document.body.dataset.state)) return;
  refuse('');
  const wanted = model.channels.length;
  if (chosen.length !== wanted) {
    refuse(`Got ${chosen.length} file${chosen.length > 1 ? 's' : ''}, need ${wanted} together: one per channel of the image.`);
    return;
  }
  setState('opening');
  say('Reading the image …');
  const sorted = [...chosen].sort((a, b) => (a.name < b.name ? -1 : 1));
  try {
    await ask('open', sorted);
    files = sorted;
    element('name').textContent = files.map(({name}) => name).join(', ');
    forget();
    setState('opened');
    say('Press the button to segment it.');
    await viewer?.show(files[0]);
  } catch (error) {
    setState('ready');
    say('');
    refuse(error.message);
  }
}

async function segment() {
  refuse('');
  forget();
  setState('running');
  element('progress').value = 0;
  say('Loading the network …');
  const started = performance.now();
  const onProgress = (part) => {
    element('progress').value = part;
    const left = (performance.now() - started) / 1000 * (1 / part - 1);
    say(part > 0 && part < 1 ? `${Math.round(100 * part)} %, about ${duration(left)} left` : 'Computing …');
  };
  try {
    const {file, volumes} = await ask('segment', {mirroring: element('mirroring').checked}, onProgress);
    const seconds = (performance.now() - started) / 1000;
    await show(file, volumes);
    setState('done');
    say(`Done in ${duration(seconds)}.`);
  } catch (error) {
    setState('opened');
    say('');
    refuse(error.message);
  }
}

async function show(bytes, volumes) {
  const compressed = new Blob([bytes]).stream().pipeThrough(new CompressionStream('gzip'));
  const name = files[0].name.replace(/(_\d{4})?(\.nii)?(\.gz)?$/, '_segmentation.nii.gz');
  const mask = new File([await new Response(compressed).blob()], name);
  element('save').href = URL.createObjectURL(mask);
  element('save').download = name;
  document.querySelectorAll('.volume').forEach((entry, index) => {
    entry.textContent = `${volumes[index].toLocaleString('en', {maximumSignificantDigits: 3})} ml`;
  });
  await viewer?.cover(mask, [...colors], Number(element('opacity').value));
}

/** Forgets the segmentation of the image before. */
function forget() {
  URL.revokeObjectURL(element('save').href);
  element('save').removeAttribute('href');
  for (const entry of document.querySelectorAll('.volume')) entry.textContent = '';
}

/** A worker that the page's Content-Security-Policy holds for, as it holds for what comes out of the page; else none would. */
function startWorker() {
  const source = `import ${JSON.stringify(new URL('worker.js', import.meta.url))};`;
  return new Worker(URL.createObjectURL(new Blob([source], {type: 'text/javascript'})), {type: 'module'});
}

/** What the worker answers to a task. */
function ask(task, given, onProgress = () => {}) {
  return new Promise((resolve, reject) => {
    worker.onmessage = ({data}) => {
      if ('progress' in data) onProgress(data.progress);
      else if ('refused' in data) reject(new Error(data.refused));
      else resolve(data.result);
    };
    worker.onerror = (event) => reject(new Error(`That failed: ${event.message}`));
    worker.postMessage({task, given});
  });
}

/** Stops the computation; the image stays open. */
async function stop() {
  worker.terminate();
  worker = startWorker();
  setState('opening');
  await ask('open', files);
  setState('opened');
  say('Stopped.');
}

function say(text) {
  element('status').textContent = text;
}

function refuse(sentence) {
  element('refused').textContent = sentence;
}

function duration(seconds) {
  return seconds < 90 ? `${Math.max(1, Math.round(seconds))} s` : `${Math.round(seconds / 60)} min`;
}

function listed(words) {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`;
}

element('files').addEventListener('change', ({target}) => {
  open([...target.files]);
  target.value = ''; // so that the same file can be chosen again
});
element('segment').addEventListener('click', segment);
element('stop').addEventListener('click', stop);
element('opacity').addEventListener('input', ({target}) => viewer && (viewer.opacity = Number(target.value)));
document.addEventListener('dragover', (event) => event.preventDefault());
document.addEventListener('drop', (event) => {
  event.preventDefault();
  open([...event.dataTransfer.files]);
});
