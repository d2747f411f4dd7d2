CREATE TABLE public.event_logs (
    id bigint NOT NULL,
    name text NOT NULL,
    url text NOT NULL,
    user_id integer NOT NULL,
    anonymous_user_id text NOT NULL,
    source text NOT NULL,
    argument jsonb DEFAULT '{}'::jsonb NOT NULL,
    version text NOT NULL,
    "timestamp" timestamp with time zone NOT NULL,
    feature_flags jsonb,
    public_argument jsonb DEFAULT '{}'::jsonb NOT NULL,
    first_source_url text,
    last_source_url text,
    referrer text,
    device_id text,
    insert_id text,
    billing_product_category text,
    billing_event_id text,
    legacy_extra text,
    client text,
    cohort_id text,
    CONSTRAINT event_logs_check_name_not_empty CHECK ((name <> ''::text))
);
CREATE SEQUENCE public.event_logs_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.event_logs_id_seq OWNED BY public.event_logs.id;
CREATE TABLE public.telemetry_alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.telemetry_events_export_queue (
    "timestamp" timestamp with time zone NOT NULL,
    payload_pb bytea NOT NULL,
    exported_at timestamp with time zone,
    due_at timestamp with time zone,
    lease character varying(36),
    attempts integer DEFAULT 0 NOT NULL,
    dead_at timestamp with time zone,
    dead_reason text,
    id uuid NOT NULL,
    in_event_logs boolean DEFAULT true NOT NULL
)
WITH (fillfactor='80');
CREATE TABLE public.telemetry_export_ledger (
    entry character varying(32) NOT NULL,
    events bigint NOT NULL
);
CREATE TABLE public.telemetry_export_runs (
    request_id character varying(36) NOT NULL,
    started_at timestamp with time zone NOT NULL,
    last_at timestamp with time zone NOT NULL,
    passes bigint NOT NULL,
    duration double precision NOT NULL,
    outcome character varying(16) NOT NULL,
    problem text,
    leased integer NOT NULL,
    streams integer NOT NULL,
    sent integer NOT NULL,
    acked integer NOT NULL,
    rejected integer NOT NULL,
    dead integer NOT NULL,
    held integer NOT NULL,
    remaining bigint,
    bytes bigint NOT NULL
);
CREATE TABLE public.telemetry_schema_compatibility (
    oldest_code character varying(32) NOT NULL
);
ALTER TABLE ONLY public.event_logs ALTER COLUMN id SET DEFAULT nextval('public.event_logs_id_seq'::regclass);
INSERT INTO public.event_logs VALUES (1, 'OldEvent', '', 0, '', 'WEB', '{}', '1', '2020-01-01 00:00:00+00', NULL, '{}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.event_logs VALUES (2, 'OlderEvent', '', 0, '', 'WEB', '{}', '1', '2020-01-01 00:00:00+00', NULL, '{}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.event_logs VALUES (3, 'search.results.submit', '', 7, '', 'BACKEND', '{}', 'service-of-0.1.0', '2026-03-01 12:00:00+00', NULL, '{"durationMs": 42, "telemetry.event.exportable": true}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.event_logs VALUES (4, 'search.results.submit', '', 7, '', 'BACKEND', '{}', 'service-of-0.1.0', '2026-03-01 12:00:00+00', NULL, '{"durationMs": 42, "telemetry.event.exportable": true}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.telemetry_alembic_version VALUES ('0002');
INSERT INTO public.telemetry_events_export_queue VALUES ('2020-01-01 00:00:00+00', '\x0a2430316132323565332d333839392d373738652d383931392d653235656361643665396564', NULL, NULL, NULL, 0, NULL, NULL, '01a225e3-3899-778e-8919-e25ecad6e9ed', true);
INSERT INTO public.telemetry_events_export_queue VALUES ('2026-03-01 12:00:00+00', '\x0a2430316132323565332d626165662d376266332d386234622d303663623663633036636135120608c0d490cd061a0e7365617263682e726573756c747322067375626d69742a140a120a10736572766963652d6f662d302e312e3032172a150a0a6475726174696f6e4d731100000000000045403a020807', NULL, NULL, NULL, 0, NULL, NULL, '01a225e3-baef-7bf3-8b4b-06cb6cc06ca5', true);
INSERT INTO public.telemetry_events_export_queue VALUES ('2026-03-01 12:00:00+00', '\x0a2430316132323565332d626230332d373261302d623135652d626636633433336239653263120608c0d490cd061a0e7365617263682e726573756c747322067375626d69742a140a120a10736572766963652d6f662d302e312e3032172a150a0a6475726174696f6e4d731100000000000045403a020807', NULL, NULL, NULL, 0, NULL, NULL, '01a225e3-bb03-72a0-b15e-bf6c433b9e2c', true);
INSERT INTO public.telemetry_export_ledger VALUES ('adopted_event_logs', 0);
INSERT INTO public.telemetry_export_ledger VALUES ('adopted_queue', 1);
INSERT INTO public.telemetry_schema_compatibility VALUES ('0001');
SELECT pg_catalog.setval('public.event_logs_id_seq', 4, true);
ALTER TABLE public.event_logs
    ADD CONSTRAINT event_logs_check_has_user CHECK (((user_id <> 0) OR (anonymous_user_id <> ''::text))) NOT VALID;
ALTER TABLE public.event_logs
    ADD CONSTRAINT event_logs_check_source_not_empty CHECK ((source <> ''::text)) NOT VALID;
ALTER TABLE public.event_logs
    ADD CONSTRAINT event_logs_check_version_not_empty CHECK ((version <> ''::text)) NOT VALID;
ALTER TABLE ONLY public.event_logs
    ADD CONSTRAINT event_logs_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.telemetry_alembic_version
    ADD CONSTRAINT telemetry_alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.telemetry_events_export_queue
    ADD CONSTRAINT telemetry_events_export_queue_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.telemetry_export_ledger
    ADD CONSTRAINT telemetry_export_ledger_pkey PRIMARY KEY (entry);
ALTER TABLE ONLY public.telemetry_export_runs
    ADD CONSTRAINT telemetry_export_runs_pkey PRIMARY KEY (request_id);
ALTER TABLE ONLY public.telemetry_schema_compatibility
    ADD CONSTRAINT telemetry_schema_compatibility_pkey PRIMARY KEY (oldest_code);
CREATE INDEX event_logs_activity ON public.event_logs USING btree ("timestamp", name, user_id, anonymous_user_id);
CREATE INDEX event_logs_anonymous_user_id ON public.event_logs USING btree (anonymous_user_id);
CREATE INDEX event_logs_name_timestamp ON public.event_logs USING btree (name, "timestamp" DESC);
CREATE INDEX event_logs_source ON public.event_logs USING btree (source);
CREATE INDEX event_logs_timestamp ON public.event_logs USING btree ("timestamp");
CREATE INDEX event_logs_user_id ON public.event_logs USING btree (user_id);
CREATE INDEX telemetry_events_export_queue_dead ON public.telemetry_events_export_queue USING btree (dead_at) WHERE (dead_at IS NOT NULL);
CREATE INDEX telemetry_events_export_queue_exported ON public.telemetry_events_export_queue USING btree (exported_at) WHERE (exported_at IS NOT NULL);
CREATE INDEX telemetry_events_export_queue_unexported ON public.telemetry_events_export_queue USING btree ("timestamp", id) WHERE ((exported_at IS NULL) AND (dead_at IS NULL));
CREATE INDEX telemetry_export_runs_last_at ON public.telemetry_export_runs USING btree (last_at);
