// From logits to labels.

/**
 * What the network's outputs stand for: {outputs, order, names}; order is null unless the labels are regions.
 *
 * names: of what is not background the label that is written, the name, and all labels that belong to it.
 */
export function readLabels(model) {
  const classes = Object.entries(model.labels)
    .filter(([name]) => name !== 'ignore')
    .map(([name, value]) => [name, [value].flat()]);
  const foreground = classes.filter(([, values]) => !values.every((value) => value === 0));
  if (classes.some(([, values]) => values.length > 1)) {
    const order = model.regions_class_order;
    return {outputs: foreground.length, order, names: foreground.map(([name, values], index) => [order[index], name, values])};
  }
  const numbers = new Set(classes.flatMap(([, values]) => values));
  return {outputs: numbers.size, order: null, names: foreground.map(([name, values]) => [values[0], name, values])};
}

/** How many voxels each name has; those of a region are the voxels of all of its labels. */
export function countVoxels(labels, names) {
  const voxels = new Float64Array(256);
  for (const label of labels) voxels[label] += 1;
  return names.map(([, , values]) => values.reduce((sum, label) => sum + voxels[label], 0));
}

/** The label of each voxel, from the logits of one output after the other. */
export function segment(logits, {order}) {
  return order === null ? ofClasses(logits) : ofRegions(logits, order);
}

/** The class of the highest logit, the first one of several. */
function ofClasses(logits) {
  let highest = null;
  let labels = null;
  let label = 0;
  for (const one of logits) {
    if (highest === null) {
      [highest, labels] = [one, new Uint8Array(one.length)];
    } else {
      for (let i = 0; i < one.length; i++) {
        if (!(one[i] > highest[i])) continue;
        highest[i] = one[i];
        labels[i] = label;
      }
    }
    label += 1;
  }
  return labels;
}

/** Region by region, where its probability, in float32, is above a half. */
function ofRegions(logits, order) {
  let labels = null;
  let index = 0;
  for (const one of logits) {
    labels ??= new Uint8Array(one.length);
    const label = order[index++];
    for (let i = 0; i < one.length; i++) {
      const inverse = Math.fround(1 + Math.fround(Math.exp(-one[i])));
      if (Math.fround(1 / inverse) > 0.5) labels[i] = label;
    }
  }
  return labels;
}
