import {
  type BackendContractOptions,
  backendContract as casesOf,
} from '../../lib/testing/index.js';

/** Registers the contract's cases. On a machine that is busy, each gets so much time at least. */
export function backendContract(
  name: string,
  options: BackendContractOptions,
  leastTimeoutMs = 20_000,
): void {
  describe(`${name}, by the backend contract`, () => {
    for (const { name: sentence, timeoutMs, run } of casesOf(options)) {
      it(sentence, run, Math.max(timeoutMs, leastTimeoutMs));
    }
  });
}
