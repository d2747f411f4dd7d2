// Records with the published SDK as its users do, and prints what became of it, as one line of JSON.
// usage: node client.js URL [TOKEN]; NODE_PATH names the folder that the SDK is in.
const { MarketingTrackingTelemetryProcessor, TelemetryRecorderProvider } = require('@sourcegraph/telemetry')
// This one stands in no index; its users reach for it here.
const { TimestampTelemetryProcessor } = require('@sourcegraph/telemetry/dist/processors/timestamp')

const { ApiExporter } = require('../../../examples/web_exporter.js')

const [url, token] = process.argv.slice(2)

// The exporter of the example; keeps what it sends, to wait for it, and how much it was each time.
class WatchedExporter extends ApiExporter {
    sending = []
    batches = []

    constructor() {
        super(url, token, {
            'X-Sourcegraph-Actor-Anonymous-UID': 'anonymous-1',
            'X-Sourcegraph-Interaction-ID': 'interaction-of-the-request',
        })
    }

    exportEvents(events) {
        this.batches.push(events.length)
        const sent = super.exportEvents(events)
        this.sending.push(sent.catch(() => {}))
        return sent
    }
}

const marketing = new MarketingTrackingTelemetryProcessor({
    getMarketingTrackingMetadata: () => ({ url: 'https://shop.test/CANARY-4be1', referrer: 'CANARY-4be1' }),
})
const at = new TimestampTelemetryProcessor({ now: () => new Date('2026-02-03T04:05:06.789Z') })

async function run(name, options, processors, record) {
    const exporter = new WatchedExporter()
    const errors = []
    const provider = new TelemetryRecorderProvider(
        { client: 'web', clientVersion: '5.2.4' }, exporter, processors,
        { ...options, errorHandler: error => errors.push(error.message) }
    )
    let thrown = null
    try {
        record(provider.getRecorder())
    } catch (error) {
        thrown = error.message
    }
    provider.unsubscribe()
    await Promise.all(exporter.sending)
    return [name, { errors, thrown, batches: exporter.batches }]
}

const atOnce = { bufferTimeMs: 0, bufferMaxSize: 10 }
const buffered = { bufferTimeMs: 60_000, bufferMaxSize: 4 }
const change = changes => ({ processEvent: event => Object.assign(event, changes) })

async function main() {
    const outcomes = [
        await run('atOnce', atOnce, [at, marketing], recorder => {
            recorder.recordEvent('search.results', 'submit', {
                version: 2,
                metadata: { durationMs: 41.5, count: 3, nothing: 0 },
                privateMetadata: { query: 'CANARY-4be1', nested: { list: [1, null, true] } },
                billingMetadata: { product: 'CODY', category: 'BILLABLE' },
                interactionID: 'interaction-of-the-event',
            })
            recorder.recordEvent('search.results', 'open')
        }),
        await run('buffered', buffered, [], recorder => {
            for (let number = 0; number < 10; number++) {
                recorder.recordEvent('buffer', 'tick', { metadata: { number } })
            }
        }),
        // The SDK itself makes 0 of it.
        await run('notANumber', atOnce, [], recorder => recorder.recordEvent('nan', 'submit', { metadata: { n: NaN } })),
        await run('infinite', atOnce, [], recorder => recorder.recordEvent('a.b', 'submit', { metadata: { n: Infinity } })),
        await run('text', atOnce, [], recorder => recorder.recordEvent('a.b', 'submit', { metadata: { n: 'CANARY-4be1' } })),
        await run('badName', atOnce, [], recorder => recorder.recordEvent('Bad name', 'submit')),
        await run('badNameBehindTheSdk', atOnce, [change({ feature: 'Bad CANARY-4be1' })], recorder =>
            recorder.recordEvent('a.b', 'submit')
        ),
        await run('oneOfMany', buffered, [], recorder => {
            for (const n of [1, 2, 'CANARY-4be1', 4]) {
                recorder.recordEvent('torn', 'submit', { metadata: { n } })
            }
        }),
        await run('privateText', atOnce, [], recorder =>
            recorder.recordEvent('private.text', 'submit', { privateMetadata: 'CANARY-4be1' })
        ),
    ]
    console.log(JSON.stringify(Object.fromEntries(outcomes)))
}

main()
