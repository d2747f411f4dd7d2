"""Mutations of the rules for events, and for the parts of them that may leave the instance."""

from mutations.mutation import Mutation

_NAMES = "tests/unit/telemetry/test_names.py"
_EVENT = "tests/unit/telemetry/test_event.py"
_PARAMETERS = "tests/unit/telemetry/test_parameters.py"
_REDACTION = "tests/unit/telemetry/test_redaction.py"
_ALLOWLIST = "tests/unit/telemetry/test_allowlist.py"
_POLICY = "tests/unit/telemetry/test_policy.py"

EVENTS = (
    Mutation(
        "a name ends where the rule ends", "telemetry/names.py", "_NAME.fullmatch(name)", "_NAME.match(name)", _NAMES
    ),
    Mutation(
        "a name has at most 64 characters",
        "telemetry/names.py",
        "len(name) <= MAX_NAME_LENGTH",
        "len(name) <= MAX_NAME_LENGTH + 1",
        _NAMES,
    ),
    Mutation(
        "a name has at least two characters", "telemetry/names.py", r"[a-z][a-zA-Z\-.]+", r"[a-z][a-zA-Z\-.]*", _NAMES
    ),
    Mutation(
        "an id is a complete UUID of version 7",
        "telemetry/event.py",
        "_UUID7.fullmatch(event_id)",
        "_UUID7.match(event_id)",
        _EVENT,
    ),
    Mutation(
        "a timestamp has a time zone",
        "telemetry/event.py",
        "since_epoch = None if timestamp.utcoffset() is None else timestamp - _EPOCH",
        "since_epoch = timestamp.replace(tzinfo=timestamp.tzinfo or UTC) - _EPOCH",
        _EVENT,
    ),
    Mutation(
        "a timestamp is in protobuf's range",
        "telemetry/event.py",
        "if not MIN_SECONDS <= seconds <= MAX_SECONDS:",
        "if False:",
        _EVENT,
    ),
    Mutation(
        "the size of an event is limited", "telemetry/event.py", "if size > self._max_event_bytes:", "if False:", _EVENT
    ),
    Mutation("text has no NUL", "telemetry/text.py", 'if "\\0" in value:', "if False:", f"{_PARAMETERS} {_EVENT}"),
    Mutation(
        "text has no lone surrogates",
        "telemetry/text.py",
        "        except UnicodeEncodeError:\n            return SURROGATE_RULE",
        "        except UnicodeEncodeError:\n            return None",
        f"{_PARAMETERS} {_EVENT}",
    ),
    Mutation(
        "a metadata key is not empty",
        "telemetry/parameters.py",
        "if not 1 <= len(key) <= MAX_METADATA_KEY_LENGTH:",
        "if not 0 <= len(key) <= MAX_METADATA_KEY_LENGTH:",
        _PARAMETERS,
    ),
    Mutation(
        "an integer is exact",
        "telemetry/parameters.py",
        "exact = -MAX_EXACT_INT <= value <= MAX_EXACT_INT\n",
        "exact = -MAX_EXACT_INT <= value <= MAX_EXACT_INT + 1\n",
        _PARAMETERS,
    ),
    Mutation(
        "a number is finite",
        "telemetry/parameters.py",
        'return None if math.isfinite(value) else f"{_FINITE_RULE}; {_LEAVE_OUT}"',
        "return None",
        _PARAMETERS,
    ),
    Mutation(
        "private metadata is at most 16 levels deep",
        "telemetry/parameters.py",
        "if depth == MAX_PRIVATE_METADATA_DEPTH:",
        "if depth == MAX_PRIVATE_METADATA_DEPTH + 1:",
        _PARAMETERS,
    ),
    Mutation(
        "a structure that shares its parts does not unfold without a limit",
        "telemetry/parameters.py",
        "if self._written > self._max_bytes:",
        "if False:",
        _PARAMETERS,
    ),
    Mutation(
        "an error names a key only if it looks like a name",
        "telemetry/parameters.py",
        "    name = _NAMEABLE_KEY.fullmatch(key)\n",
        '    name = re.fullmatch("(?s).+", key)\n',
        _PARAMETERS,
    ),
    Mutation("marketing data is stripped", "telemetry/redaction.py", "holder.ClearField(name)", "pass", _REDACTION),
    Mutation(
        "private metadata is stripped",
        "telemetry/redaction.py",
        "        if key not in entry.keys:\n            del fields[key]",
        "        if False:\n            del fields[key]",
        _REDACTION,
    ),
    Mutation(
        "the result of a redaction is checked",
        "telemetry/redaction.py",
        "            self._assert_redacted(event, entry)\n",
        "",
        _REDACTION,
    ),
    Mutation(
        "unknown fields are discarded",
        "telemetry/redaction.py",
        "            event.DiscardUnknownFields()\n",
        "",
        _REDACTION,
    ),
    Mutation(
        "a field in no class does not leave",
        "telemetry/redaction.py",
        "return kind is FieldClass.EXPORTABLE or (",
        "return kind is not FieldClass.SENSITIVE or (",
        _REDACTION,
    ),
    Mutation(
        "the value of an allowlisted key is text",
        "telemetry/redaction.py",
        "fields[key].string_value = NOT_A_STRING",
        "pass",
        _REDACTION,
    ),
    Mutation(
        "the field is unset if no allowed key is left",
        "telemetry/redaction.py",
        '    if not fields:\n        parameters.ClearField("private_metadata")',
        "    return",
        _REDACTION,
    ),
    Mutation(
        "a redaction that fails keeps the event",
        "telemetry/redaction.py",
        '        raise RedactionError(f"redaction failed ({problem})")',
        "        return",
        _REDACTION,
    ),
    Mutation(
        "an expired approval allows nothing",
        "telemetry/allowlist.py",
        "self.expires_on is None or today <= self.expires_on",
        "True",
        f"{_ALLOWLIST} {_REDACTION}",
    ),
    Mutation(
        "the entry of an exact action wins over the feature's entry",
        "telemetry/allowlist.py",
        "return self._by_type.get((feature, None)) if exact is None else exact",
        "return self._by_type.get((feature, None)) or exact",
        f"{_ALLOWLIST} {_REDACTION}",
    ),
    Mutation(
        "an event type is in the allowlist only once",
        "telemetry/allowlist.py",
        "if first := self._by_type.get(event_type):",
        "if first := None:",
        _ALLOWLIST,
    ),
    Mutation(
        "DO_NOT_TRACK switches export off",
        "telemetry/policy.py",
        "        if self.opted_out_by is not None:\n",
        "        if False:\n",
        _POLICY,
    ),
    Mutation(
        "DO_NOT_TRACK=true counts, in any case",
        "telemetry/policy.py",
        'environ.get(name, "").strip().lower() in ("1", "true")',
        'environ.get(name, "").strip() in ("1", "true")',
        _POLICY,
    ),
    Mutation(
        "the mode `local` exports nothing",
        "telemetry/policy.py",
        "if self.telemetry_mode is not TelemetryMode.ON:",
        "if self.telemetry_mode is TelemetryMode.OFF:",
        _POLICY,
    ),
    Mutation(
        "export is off by default",
        "telemetry/policy.py",
        "    everything: bool = False",
        "    everything: bool = True",
        _POLICY,
    ),
    Mutation(
        "a word for yes is not used as a feature prefix",
        "telemetry/policy.py",
        "    if lower in _YES:\n",
        "    if False:\n",
        _POLICY,
    ),
    Mutation(
        "a prefix covers whole words",
        "telemetry/policy.py",
        'feature.startswith(f"{prefix}.")',
        "feature.startswith(prefix)",
        _POLICY,
    ),
    Mutation(
        "events of a user whose flag is off are not exported",
        "telemetry/policy.py",
        'event.feature_flags.flags.get(EXPORT_FLAG, "true").lower() != "true"',
        "False",
        _POLICY,
    ),
    Mutation(
        "a switch that fails keeps the event",
        "telemetry/policy.py",
        "error=type(error).__name__)\n            return False",
        "error=type(error).__name__)\n            return True",
        _POLICY,
    ),
)
