import protobuf from 'protobufjs/minimal.js'

const policyType = '/modal.client.RPCRetryPolicy'

/**
 * How long the server asks to wait, from `grpc-status-details-bin` of an answer: a google.rpc.Status of which one detail
 * is a modal.client.RPCRetryPolicy. The SDK reads it for itself and keeps it from its callers.
 * @returns milliseconds; undefined where nothing was asked
 */
export function readRetryAfter(statusDetails: Uint8Array): number | undefined {
  try {
    const [policy] = fieldsOf(statusDetails, 3)
      .filter((detail) => fieldsOf(detail, 1).some((type) => Buffer.from(type).toString().endsWith(policyType)))
      .flatMap((detail) => fieldsOf(detail, 2))
    return policy === undefined ? undefined : readSeconds(policy)
  } catch {
    return undefined
  }
}

/** Values of a field that holds bytes, text or a message. */
function fieldsOf(message: Uint8Array, wanted: number): Uint8Array[] {
  const reader = protobuf.Reader.create(message)
  const values: Uint8Array[] = []
  while (reader.pos < reader.len) {
    const tag = reader.uint32()
    if (tag >>> 3 === wanted && (tag & 7) === 2) values.push(reader.bytes())
    else reader.skipType(tag & 7)
  }
  return values
}

/** `float retry_after_secs = 1`. */
function readSeconds(policy: Uint8Array): number | undefined {
  const reader = protobuf.Reader.create(policy)
  while (reader.pos < reader.len) {
    const tag = reader.uint32()
    if (tag === 13) return Math.ceil(reader.float() * 1000)
    reader.skipType(tag & 7)
  }
  return undefined
}
