// Reads images with the page's own code and writes what it got, and a segmentation of each, beside them.

import {readFileSync, writeFileSync} from 'node:fs';
import {File} from 'node:buffer';
import {basename} from 'node:path';

const [steps, ...paths] = process.argv.slice(2);
const {readImage, writeSegmentation} = await import(`${steps}/nifti.js`);

const results = [];
for (const path of paths) {
  try {
    const file = new File([readFileSync(path)], basename(path));
    const {data, shape, spacing, millilitres, header} = await readImage(file);
    const asNibabel = await readImage(file, {asNibabel: true});
    const labels = Uint8Array.from(data, (_, index) => index % 5);
    writeFileSync(`${path}.mask.nii`, writeSegmentation(labels, header));
    results.push({data: [...data], shape, spacing, millilitres, asNibabel: [asNibabel.spacing, asNibabel.millilitres]});
  } catch (error) {
    results.push({refused: error.message});
  }
}
console.log(JSON.stringify(results));
