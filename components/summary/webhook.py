"""Tells a webhook how a run ended, as a message that Slack and its likes understand."""

import http.client
import json
import threading
import time
import urllib.error
import urllib.request
from queue import Empty, SimpleQueue

ATTEMPTS = 4
TIMEOUT = 10.0  # seconds an attempt may take
PAUSE = 1.0  # seconds before the second attempt, doubled for each further one


def notify(address: str, text: str, attempts: int = ATTEMPTS, pause: float = PAUSE) -> str:
    """Posts ``{"text": …}`` to a webhook; never fails, since the run is over anyway.

    Args:
        address: The http(s) address.
        text: What to say.
        attempts: How often to try at most, where the server or the way to it is at fault.
        pause: Seconds before the second attempt, doubled for each further one.

    Returns:
        One line for people: told, or why not. The address is a secret and not in it.
    """
    problem = ""
    for attempt in range(attempts):
        if attempt:
            time.sleep(pause * 2 ** (attempt - 1))
        ended: SimpleQueue[tuple[str, bool]] = SimpleQueue()
        # The timeout of a connection is one for each byte, of which a server may send many.
        post = threading.Thread(target=lambda to=ended: to.put(_post(address, text)), daemon=True)
        post.start()
        try:
            problem, for_good = ended.get(timeout=TIMEOUT)
        except Empty:
            problem, for_good = f"no whole answer within {TIMEOUT:g} s", False
        if not problem:
            return "Told the webhook"
        if for_good:
            break
    return f"warning: the webhook was not told: {problem}"


def _post(address: str, text: str) -> tuple[str, bool]:
    """Returns what went wrong, empty if nothing did, and whether it always will."""
    try:
        request = urllib.request.Request(
            address,
            data=json.dumps({"text": text}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=TIMEOUT):
            return "", True
    except urllib.error.HTTPError as error:
        # But for a few, it will not like the same message any better.
        return f"it answered {error.code}", error.code < 500 and error.code != 429
    except (ValueError, http.client.InvalidURL):  # their texts have the address in them
        return "its address is none of http(s)", True
    except (OSError, http.client.HTTPException) as error:
        return str(getattr(error, "reason", error)) or type(error).__name__, False
