// Segments the images of a JSON file with the page's own steps, and networks that a line of arithmetic stands in for.

import {readFileSync} from 'node:fs';

const [steps, file] = process.argv.slice(2);
const {predict} = await import(`${steps}/predictor.js`);

function network(fold, outputs) {
  return async (tile, shape) => {
    const voxels = shape.slice(2).reduce((product, size) => product * size, 1);
    const logits = new Float32Array(outputs * voxels);
    for (let output = 0; output < outputs; output++) {
      for (let i = 0; i < voxels; i++) {
        let logit = Math.fround(((i * (output + 3)) % 11) / 8 - (fold + 1) / 4);
        for (let channel = 0; channel < shape[1]; channel++) {
          const factor = Math.fround(((output + channel) % 3) - 1);
          logit = Math.fround(logit + Math.fround(tile[channel * voxels + i] * factor));
        }
        logits[output * voxels + i] = logit;
      }
    }
    return logits;
  };
}

const results = [];
for (const {model, channels, shape, spacing, outputs, mirroring} of JSON.parse(readFileSync(file))) {
  const networks = model.folds.map((_, fold) => network(fold, outputs));
  const tiles = [];
  const onTile = (done, total) => tiles.push([done, total]);
  const arrays = channels.map((values) => Float32Array.from(values));
  const labels = await predict(arrays, shape, spacing, {model, networks, mirroring, onTile});
  results.push({labels: [...labels], tiles});
}
console.log(JSON.stringify(results));
