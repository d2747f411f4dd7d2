// The exporter that an editor or a web app passes to `@sourcegraph/telemetry`, which does not send HTTP requests itself:
//   new TelemetryRecorderProvider({ client: 'web', clientVersion: '5.2.4' }, new ApiExporter('https://telemetry.example.com', token))
const query = `mutation RecordTelemetryEvents($events: [TelemetryEventInput!]!) {
    telemetry { recordEvents(events: $events) { alwaysNil } }
}`

class ApiExporter {
    constructor(url, token, headers = {}) {
        this.url = `${url}/.api/graphql?RecordTelemetryEvents`
        this.headers = { 'Content-Type': 'application/json', ...headers, ...(token && { Authorization: `token ${token}` }) }
    }

    async exportEvents(events) {
        const body = JSON.stringify({ query, variables: { events } })
        const answer = await fetch(this.url, { method: 'POST', headers: this.headers, body })
        const { data, errors } = await answer.json()
        if (errors) {
            throw new Error(errors.map(error => error.message).join('\n'))
        }
        if (!answer.ok || !data) {
            throw new Error(`status ${answer.status}`)
        }
    }
}

module.exports = { ApiExporter }
