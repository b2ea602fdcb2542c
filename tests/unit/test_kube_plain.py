"""Kubeconfigs read without the official package: the same as with it, or not at all."""

import base64
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from berth.kube import plain
from berth.kube.config import Connection, load
from tests.unit.test_kube_config import exec_user, write_certificate, write_kubeconfig

Json = dict[str, Any]


def encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def config(directory: Path, user: Json, **cluster: Any) -> Path:
    """A kubeconfig of one context with these settings."""
    path = write_kubeconfig(directory / "config", user, server="https://10.0.0.1:6443")
    body = yaml.safe_load(path.read_text())
    body["clusters"][0]["cluster"] |= cluster
    path.write_text(yaml.safe_dump(body))
    return path


def with_token_file(directory: Path) -> Path:
    (directory / "token").write_text("t2\n")
    return config(directory, {"tokenFile": "token"}, **{"insecure-skip-tls-verify": True})


def with_files(directory: Path) -> Path:
    certificate, key = write_certificate(directory)
    user = {"client-certificate": certificate.name, "client-key": str(key)}
    return config(directory, user, **{"certificate-authority": certificate.name, "tls-server-name": "api.example"})


def with_data(directory: Path) -> Path:
    certificate, key = write_certificate(directory)
    user = {"client-certificate-data": encoded(certificate), "client-key-data": encoded(key)}
    return config(directory, user, **{"certificate-authority-data": encoded(certificate), "proxy-url": "http://p:1"})


PLAIN: dict[str, Callable[[Path], Path]] = {
    "a token": lambda directory: config(directory, {"token": "t1"}),
    "a token file beside it": with_token_file,
    "certificates in files": with_files,
    "certificates inline": with_data,
}


def content(file: str | None) -> bytes | None:
    return None if file is None else Path(file).read_bytes()


async def told(connection: Connection) -> Json:
    """All of a connection that a request depends on; of files, what they hold."""
    files = (connection.ca_file, connection.cert_file, connection.key_file)
    return {
        "server": connection.base_url,
        "login": await connection.credentials.fresh(),
        "files": [content(file) for file in files],
        "verify": connection.verify,
        "check": connection.tls is not None and connection.tls.check_hostname,
        "authorities": connection.tls and len(connection.tls.get_ca_certs()),
        "name": connection.server_name,
        "proxy": connection.proxy,
        "namespace": connection.namespace,
        "source": connection.source,
    }


@pytest.mark.parametrize("write", PLAIN.values(), ids=PLAIN.keys())
async def test_a_plain_kubeconfig_is_read_as_the_official_package_reads_it(
    write: Callable[[Path], Path], tmp_path: Path
) -> None:
    """Server, login, certificates, name, proxy, namespace."""
    path = write(tmp_path)
    assert plain.read(str(path), None) is not None
    quick = await load(kubeconfig=str(path), quick=True, environ={})
    assert await told(quick) == await told(await load(kubeconfig=str(path), environ={}))


def broken(directory: Path, text: str) -> Path:
    path = directory / "config"
    path.write_text(text)
    return path


OTHERS: dict[str, Callable[[Path], Path]] = {
    "a login plugin": lambda directory: config(directory, exec_user(directory, {"token": "x"})),
    "a password": lambda directory: config(directory, {"username": "a", "password": "b"}),
    "no login": lambda directory: config(directory, {}),
    "a key without a certificate": lambda directory: config(directory, {"client-key": "tls.key"}),
    "a file that is not there": lambda directory: config(directory, {"token": "x"}, **{"certificate-authority": "no"}),
    "data that is none": lambda directory: config(directory, {"token": "x"}, **{"certificate-authority-data": "%"}),
    "a setting of tomorrow": lambda directory: config(directory, {"token": "x"}, **{"disable-compression": True}),
    "no YAML": lambda directory: broken(directory, "a: ["),
    "no mapping": lambda directory: broken(directory, "[1]"),
    "nothing": lambda directory: broken(directory, ""),
}


@pytest.mark.parametrize("write", OTHERS.values(), ids=OTHERS.keys())
def test_all_else_is_left_to_the_official_package(write: Callable[[Path], Path], tmp_path: Path) -> None:
    """Nothing is guessed: what it would refuse, it refuses, in its words."""
    assert plain.read(str(write(tmp_path)), None) is None


def test_another_context_and_several_files(tmp_path: Path) -> None:
    """A context that is there may be named; several files are merged by the official package."""
    path = config(tmp_path, {"token": "t1"})
    assert plain.read(str(path), "c") is not None
    assert plain.read(str(path), "d") is None
    assert plain.read(f"{path}{os.pathsep}{path}", None) is None


def test_keys_that_stand_inline_are_for_the_owner_alone_and_gone_with_the_process(tmp_path: Path) -> None:
    """They are kept in files only because TLS takes them from files."""
    path = with_data(tmp_path)
    code = "import os, sys; from berth.kube import plain; f = plain.read(sys.argv[1], None).key_file; "
    code += "print(f, oct(os.stat(f).st_mode & 0o777), 'kubernetes' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=True, capture_output=True, text=True)
    file, mode, imported = done.stdout.split()
    assert (mode, imported, Path(file).exists()) == ("0o600", "False", False)
