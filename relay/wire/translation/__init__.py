"""Between protocols: a request is read into a `Prompt` and written in another's words, and an answer the same way back.

    client ─▶ <client>_request.read ─▶ Prompt ─▶ <upstream>_request.write ─▶ upstream
    client ◀─ <client>_answer.Writer ◀─ events ◀─ <upstream>_answer.Decoder ◀─ upstream

Invariants: every pair goes through the one vocabulary (`prompt.py`, `events.py`), so that n protocols need 2n mappings;
what a protocol cannot say is refused, naming the field, or is a loss on record, as the one table says (`features.py`);
and no end is written that the upstream did not send.
"""
