/** Something a person can set right; its message is a sentence for them. */
export class Refusal extends Error {}
