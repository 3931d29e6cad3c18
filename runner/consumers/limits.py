"""What one person may have of a process."""

from collections import Counter, deque

SOCKETS_PER_USER = 30
SUBSCRIPTIONS_PER_SOCKET = 20
MESSAGES = 60
PER_SECONDS = 10.0
"""Messages that a socket may send within so many seconds."""

_sockets: Counter[int] = Counter()


def take_socket(user_id: int) -> bool:
    """Count one more open socket of a person in this process, unless there are too many."""
    if _sockets[user_id] >= SOCKETS_PER_USER:
        return False
    _sockets[user_id] += 1
    return True


def give_socket_back(user_id: int) -> None:
    _sockets[user_id] -= 1
    if not _sockets[user_id]:
        del _sockets[user_id]


class Rate:
    """Whether a socket sends too much. Time is any clock's seconds."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=MESSAGES)

    def allows(self, now: float) -> bool:
        if len(self._times) == MESSAGES and now - self._times[0] < PER_SECONDS:
            return False
        self._times.append(now)
        return True
