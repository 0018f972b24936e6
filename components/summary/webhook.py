"""Tells a webhook how a run ended, as a message that Slack and its likes understand."""

import http.client
import json
import time
import urllib.error
import urllib.request

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
        try:
            request = urllib.request.Request(
                address,
                data=json.dumps({"text": text}).encode(),
                headers={"Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request, timeout=TIMEOUT):
                return "Told the webhook"
        except urllib.error.HTTPError as error:
            problem = f"it answered {error.code}"
            if error.code < 500 and error.code != 429:
                break  # it will not like the same message any better
        except (ValueError, http.client.InvalidURL):  # their texts have the address in them
            problem = "its address is none of http(s)"
            break
        except (OSError, http.client.HTTPException) as error:
            problem = str(getattr(error, "reason", error)) or type(error).__name__
    return f"warning: the webhook was not told: {problem}"
