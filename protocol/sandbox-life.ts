/**
 * A sandbox's label `expires` lies this long after the end of its own lifetime, milliseconds: until then it is its
 * rollout's, past it anybody may remove what is left.
 */
export const expiryMarginMs = 3_600_000
