"""What the engine does to containers by itself: restarts, health checks; and pausing, updating, measuring them."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import Engine, wait_for
from .test_life import kill_agent

SECOND = 1_000_000_000


@pytest.fixture
def made(engine: Engine) -> Iterator[list[str]]:
    containers: list[str] = []
    yield containers
    for container in containers:
        engine.call("DELETE", f"/containers/{container}", force=1)


def policy(name: str, maximum: int = 0) -> dict[str, Any]:
    return {"RestartPolicy": {"Name": name, "MaximumRetryCount": maximum}}


def details(engine: Engine, container: str) -> dict[str, Any]:
    found: dict[str, Any] = engine.ok("GET", f"/containers/{container}/json")
    return found


def state(engine: Engine, container: str) -> dict[str, Any]:
    found: dict[str, Any] = details(engine, container)["State"]
    return found


# -- restarts --------------------------------------------------------------------------------


def test_on_failure_tries_as_often_as_it_may(engine: Engine, made: list[str]) -> None:
    made.append(engine.running("sh", "-c", "echo x; exit 3", host=policy("on-failure", 2)))
    wait_for(lambda: state(engine, made[0])["Status"] == "exited", "the last try")
    found = details(engine, made[0])
    assert (found["RestartCount"], found["State"]["ExitCode"]) == (2, 3)
    assert engine.output(made[0]) == "x\n" * 3


def test_on_failure_is_content_with_success(engine: Engine, made: list[str]) -> None:
    made.append(engine.running("true", host=policy("on-failure")))
    assert engine.ok("POST", f"/containers/{made[0]}/wait")["StatusCode"] == 0
    assert details(engine, made[0])["RestartCount"] == 0


def test_always_starts_again_until_it_is_stopped(engine: Engine, made: list[str]) -> None:
    made.append(engine.running("sh", "-c", "echo x; sleep 0.05", host=policy("always")))
    wait_for(lambda: details(engine, made[0])["RestartCount"] >= 2, "restarts")
    engine.ok("POST", f"/containers/{made[0]}/stop", t=1)
    assert state(engine, made[0])["Status"] == "exited"
    assert engine.ok("POST", f"/containers/{made[0]}/wait")["StatusCode"] in (0, 137, 143)
    engine.ok("POST", f"/containers/{made[0]}/start")
    assert details(engine, made[0])["RestartCount"] <= 1


def test_a_container_about_to_be_restarted(engine: Engine, made: list[str]) -> None:
    made.append(engine.running("false", host=policy("always")))
    wait_for(lambda: details(engine, made[0])["RestartCount"] >= 4, "long delays")
    wait_for(lambda: state(engine, made[0])["Restarting"], "a delay")
    assert engine.call("POST", f"/containers/{made[0]}/start")[0] == 304
    assert engine.call("DELETE", f"/containers/{made[0]}")[0] == 409
    engine.ok("DELETE", f"/containers/{made[0]}", force=1)


def test_killed_containers_stay_down(engine: Engine, made: list[str]) -> None:
    made.append(engine.running("sleep", "1000", host=policy("unless-stopped")))
    engine.ok("POST", f"/containers/{made[0]}/kill")
    assert engine.ok("POST", f"/containers/{made[0]}/wait")["StatusCode"] == 137
    assert state(engine, made[0])["Status"] == "exited"
    made.append(engine.running("sleep", "1000", host=policy("unless-stopped")))
    os.kill(state(engine, made[1])["Pid"], signal.SIGKILL)  # nobody asked the engine
    wait_for(lambda: details(engine, made[1])["RestartCount"] == 1, "a restart")


def test_restarting_by_hand_keeps_one_that_removes_itself(engine: Engine, made: list[str]) -> None:
    made.append(engine.running("sleep", "1000", host={"AutoRemove": True}))
    engine.ok("POST", f"/containers/{made[0]}/restart", t=0)
    assert state(engine, made[0])["Running"]
    engine.ok("POST", f"/containers/{made[0]}/stop", t=0)
    wait_for(lambda: engine.call("GET", f"/containers/{made[0]}/json")[0] == 404, "its removal")


def test_policies_at_the_start_of_the_engine(fresh_engine: Engine) -> None:
    engine = fresh_engine
    names = {
        "always": engine.running("sleep", "1000", host=policy("always")),
        "stopped": engine.running("sleep", "1000", host=policy("unless-stopped")),
        "left": engine.running("sleep", "1000", host=policy("unless-stopped")),
        "none": engine.running("sleep", "1000"),
    }
    engine.ok("POST", f"/containers/{names['stopped']}/stop", t=0)
    engine.stop()
    engine.start()
    for name, runs in (("always", True), ("left", True), ("stopped", False), ("none", False)):
        wait_for(lambda: state(engine, names[name])["Running"] == runs, name)  # noqa: B023


def test_a_restart_that_waits_outlives_the_agent(fresh_engine: Engine) -> None:
    engine = fresh_engine
    container = engine.running("false", host=policy("always"))
    wait_for(lambda: details(engine, container)["RestartCount"] >= 3, "delays")
    kill_agent(engine)
    before = details(engine, container)["RestartCount"]
    wait_for(lambda: details(engine, container)["RestartCount"] > before, "it to go on")


@pytest.mark.parametrize(
    "host",
    [
        policy("sometimes"),
        policy("on-failure", -1),
        policy("always", 3),
        {"AutoRemove": True, **policy("always")},
        {"RestartPolicy": {"Name": 7}},
    ],
)
def test_policies_that_make_no_sense(engine: Engine, host: dict[str, Any]) -> None:
    body = {"Image": "atoll/base", "Cmd": ["true"], "HostConfig": host}
    assert engine.call("POST", "/containers/create", body)[0] == 400


# -- health ----------------------------------------------------------------------------------


def check(script: str, **more: Any) -> dict[str, Any]:
    return {"Test": ["CMD-SHELL", script], "Interval": SECOND // 20, **more}


def health(engine: Engine, container: str) -> dict[str, Any]:
    found: dict[str, Any] = state(engine, container)["Health"]
    return found


def test_health_turns_with_the_check(engine: Engine, made: list[str]) -> None:
    script = "echo looked; test -e /tmp/well"
    made.append(engine.running("sleep", "1000", Healthcheck=check(script, Retries=2)))
    wait_for(lambda: health(engine, made[0])["Status"] == "unhealthy", "failures")
    found = health(engine, made[0])
    assert found["FailingStreak"] >= 2
    assert (found["Log"][-1]["ExitCode"], found["Log"][-1]["Output"]) == (1, "looked\n")
    assert engine.execute(made[0], "touch", "/tmp/well")[0] == 0
    wait_for(lambda: health(engine, made[0])["Status"] == "healthy", "success")
    row = next(row for row in engine.ok("GET", "/containers/json") if row["Id"] == made[0])
    assert "(healthy)" in row["Status"]
    wait_for(lambda: len(health(engine, made[0])["Log"]) == 5, "five results")
    listed = engine.ok("GET", "/containers/json", filters=json.dumps({"health": ["healthy"]}))
    assert [row["Id"] for row in listed] == made[:1]


def test_failures_of_the_first_time_do_not_count(engine: Engine, made: list[str]) -> None:
    made.append(
        engine.running(
            "sleep", "1000",
            Healthcheck=check("false", Retries=1, StartPeriod=3600 * SECOND, StartInterval=SECOND // 20),
        )
    )  # fmt: skip
    wait_for(lambda: len(health(engine, made[0])["Log"]) >= 3, "some results")
    assert (health(engine, made[0])["Status"], health(engine, made[0])["FailingStreak"]) == ("starting", 0)


def test_a_check_that_takes_too_long_has_failed(engine: Engine, made: list[str]) -> None:
    made.append(engine.running("sleep", "1000", Healthcheck=check("sleep 600", Retries=1, Timeout=SECOND // 10)))
    wait_for(lambda: health(engine, made[0])["Status"] == "unhealthy", "the timeout")
    last = health(engine, made[0])["Log"][-1]
    assert (last["ExitCode"], "exceeded timeout" in last["Output"]) == (-1, True)
    wait_for(lambda: "sleep 600" not in str(engine.ok("GET", f"/containers/{made[0]}/top")["Processes"][2:]), "its end")


def test_no_check(engine: Engine, made: list[str]) -> None:
    made.append(engine.running("sleep", "1000", Healthcheck={"Test": ["NONE"]}))
    assert "Health" not in state(engine, made[0])


@pytest.mark.parametrize(
    "healthcheck",
    [{"Test": "true"}, {"Test": ["CMD", "true"], "Interval": 5}, {"Retries": -1}, {"Timeout": "1s"}],
)
def test_checks_that_make_no_sense(engine: Engine, healthcheck: dict[str, Any]) -> None:
    body = {"Image": "atoll/base", "Cmd": ["true"], "Healthcheck": healthcheck}
    assert engine.call("POST", "/containers/create", body)[0] == 400


# -- pausing ---------------------------------------------------------------------------------


def test_pausing(engine: Engine, made: list[str]) -> None:
    made.append(engine.running("sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.01; done"))
    wait_for(lambda: engine.output(made[0]), "output")
    engine.ok("POST", f"/containers/{made[0]}/pause")
    found = state(engine, made[0])
    assert (found["Status"], found["Paused"], found["Running"]) == ("paused", True, True)
    before = engine.output(made[0])
    assert engine.call("POST", f"/containers/{made[0]}/pause")[0] == 409
    status, answer = engine.call("POST", f"/containers/{made[0]}/exec", {"Cmd": ["true"]})
    if status == 201:
        status, answer = engine.call("POST", f"/exec/{answer['Id']}/start", {"Detach": True})
    assert (status, "paused" in answer["message"]) == (409, True)
    assert engine.output(made[0]) == before
    engine.ok("POST", f"/containers/{made[0]}/unpause")
    wait_for(lambda: len(engine.output(made[0])) > len(before), "more output")
    assert engine.call("POST", f"/containers/{made[0]}/unpause")[0] == 409
    engine.ok("POST", f"/containers/{made[0]}/pause")
    engine.ok("POST", f"/containers/{made[0]}/stop", t=1)
    assert state(engine, made[0])["Status"] == "exited"


# -- updating and measuring ------------------------------------------------------------------


def test_updating_the_policy(engine: Engine, made: list[str]) -> None:
    made.append(engine.running("sleep", "1000"))
    assert engine.ok("POST", f"/containers/{made[0]}/update", policy("on-failure", 3)) == {"Warnings": []}
    assert details(engine, made[0])["HostConfig"]["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 3}
    assert engine.call("POST", f"/containers/{made[0]}/update", policy("never"))[0] == 400
    assert engine.call("POST", f"/containers/{made[0]}/update", {"Memory": "much"})[0] == 400


def test_measuring(engine: Engine, made: list[str]) -> None:
    made.append(engine.running("sh", "-c", "while :; do :; done", host={"NetworkMode": "bridge"}))
    found = engine.ok("GET", f"/containers/{made[0]}/stats", stream="0")
    now, before = found["cpu_stats"]["cpu_usage"]["total_usage"], found["precpu_stats"]["cpu_usage"]["total_usage"]
    assert now > before >= 0
    assert found["cpu_stats"]["system_cpu_usage"] > found["precpu_stats"]["system_cpu_usage"]
    assert set(found["networks"]) == {"eth0"}
    shot = engine.ok("GET", f"/containers/{made[0]}/stats", stream="0", **{"one-shot": "1"})
    assert shot["precpu_stats"]["cpu_usage"]["total_usage"] == 0
    stopped = engine.create("true")
    made.append(stopped)
    assert engine.ok("GET", f"/containers/{stopped}/stats", stream="0")["id"] == stopped
