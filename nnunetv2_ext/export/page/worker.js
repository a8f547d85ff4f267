// Reads and segments images beside the page, which stays responsive.

import {countVoxels, readLabels} from './steps/labels.js';
import {loadNetwork} from './steps/network.js';
import {readImage, writeSegmentation} from './steps/nifti.js';
import {memoryNeeded, predict} from './steps/predictor.js';
import {Refusal} from './steps/refusal.js';

const MEMORY = 4e9; // bytes that a browser lets a page have

const described = fetch(new URL('model.json', import.meta.url)).then((response) => response.json());
let networks = null;
let image = null;

const TASKS = {
  /** Reads the files of one image, one per channel; answers with nothing. */
  async open(files) {
    const model = await described;
    image = null;
    const check = (shape, spacing) => {
      const needed = memoryNeeded(shape, spacing, model);
      if (needed > MEMORY) {
        throw new Refusal(
          `This image is too large for a browser: ${[...shape].reverse().join(' × ')} voxels take about ` +
          `${(needed / 1e9).toFixed(1)} GB, and a page has ${MEMORY / 1e9} GB. Use nnUNetv2_ext predict-onnx.`);
      }
    };
    const asNibabel = model.reader.startsWith('Nibabel');
    const channels = [];
    for (const file of files) channels.push(await readImage(file, {asNibabel, check}));
    const [first, ...others] = channels;
    const same = (a, b) => a.every((size, axis) => Math.abs(size - b[axis]) <= 1e-5 * Math.abs(size));
    if (!others.every(({shape, spacing}) => same(first.shape, shape) && same(first.spacing, spacing))) {
      throw new Refusal('These files have different sizes or spacings: they are not the channels of one image.');
    }
    image = {...first, channels: channels.map(({data}) => data)};
  },

  /** Segments the image that was opened; answers with the .nii file of its labels, and how many ml each name has. */
  async segment({mirroring}) {
    const model = await described;
    networks ??= await Promise.all(model.folds.map(({file}) => loadNetwork(new URL(file, import.meta.url))));
    const {channels, shape, spacing, millilitres, header} = image;
    const onTile = (done, total) => self.postMessage({progress: done / total});
    const labels = await predict(channels, shape, spacing, {model, networks, mirroring, onTile});
    const voxels = countVoxels(labels, readLabels(model).names);
    return {file: writeSegmentation(labels, header), volumes: voxels.map((number) => number * millilitres)};
  },
};

self.onmessage = async ({data: {task, given}}) => {
  try {
    self.postMessage({result: await TASKS[task](given)});
  } catch (error) {
    self.postMessage({refused: sentence(error)});
  }
};

function sentence(error) {
  if (error instanceof Refusal) return error.message;
  if (error instanceof RangeError) return 'This image is too large for the memory of this browser. Use nnUNetv2_ext predict-onnx.';
  return `That failed: ${error.message || error}`;
}
