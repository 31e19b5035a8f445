/** An answer that is an error, in the form of Daytona's API. */
export class Refusal extends Error {
  readonly status: number
  readonly headers: Record<string, string>

  constructor(status: number, message: string, headers: Record<string, string> = {}) {
    super(message)
    this.status = status
    this.headers = headers
  }

  body(path: string): string {
    const { status: statusCode, message } = this
    return JSON.stringify({
      statusCode,
      message,
      error: names[statusCode] ?? 'Error',
      path,
      timestamp: new Date().toISOString(),
    })
  }
}

const names: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  408: 'Request Timeout',
  409: 'Conflict',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
}
