"""An operator over built-in kinds: retries, timers, daemons, indices, events, child labels, all on ConfigMaps."""

import asyncio

import kopf

WATCHED = {"labels": {"tended": "yes"}}


@kopf.index("configmaps", **WATCHED)
def colours(name, body, **_):
    return {body.get("data", {}).get("colour", "none"): name}


@kopf.on.create("configmaps", **WATCHED)
def stubborn(retry, patch, **_):
    """Succeeds at the third try."""
    if retry < 2:
        raise kopf.TemporaryError("not yet", delay=0.2)
    patch.metadata.annotations["tries"] = str(retry + 1)


@kopf.on.create("configmaps", annotations={"hopeless": kopf.PRESENT}, **WATCHED)
def hopeless(**_):
    raise kopf.PermanentError("this will never be")


@kopf.timer("configmaps", interval=0.5, **WATCHED)
def tick(patch, body, **_):
    count = int(body.metadata.annotations.get("ticks", 0))
    if count < 3:
        patch.metadata.annotations["ticks"] = str(count + 1)


@kopf.daemon("configmaps", **WATCHED)
async def tend(stopped, patch, colours: kopf.Index, body, **_):
    colour = body.get("data", {}).get("colour", "none")
    while not stopped:
        same = sum(1 for _ in colours.get(colour, ()))
        if body.metadata.annotations.get("same") != str(same):
            patch.metadata.annotations["same"] = str(same)
            return
        await asyncio.sleep(0.2)


@kopf.on.event("configmaps", **WATCHED)
def seen(type, name, logger, **_):
    logger.info("seen %s %s", type, name)
