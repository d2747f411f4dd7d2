"""Whether a connection that was idle is still good, for less than a round trip."""

import select


def has_word(fileno: int) -> bool:
    """Returns whether there is something to read on a socket.

    An idle database connection has nothing to read, unless the server has said goodbye. Asking the
    socket costs microseconds; a ping would cost a round trip.
    """
    if hasattr(select, "poll"):
        # Not `select`: it refuses descriptors from 1,024 on, which busy services have.
        poll = select.poll()
        poll.register(fileno, select.POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([fileno], [], [], 0)[0])  # Windows, whose `select` has no such bound
