"""Finding the API server and a login: kubeconfigs, plugins, pods."""

import datetime
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from berth.kube.config import ConfigError, load


def write_kubeconfig(path: Path, user: dict[str, Any], *, server: str = "http://127.0.0.1:1", name: str = "c") -> Path:
    """A kubeconfig with one context, cluster and user of that name."""
    body = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": {"server": server}}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": f"ns-{name}"}}],
    }
    path.write_text(yaml.safe_dump(body))
    return path


def write_certificate(directory: Path) -> tuple[Path, Path]:
    """A self-signed certificate and its key, as PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "berth")])
    now = datetime.datetime.now(tz=datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = directory / "tls.crt", directory / "tls.key"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert_file, key_file


def exec_user(directory: Path, status: dict[str, Any]) -> dict[str, Any]:
    """A user whose login plugin prints `status` and notes each of its runs in the file `runs`."""
    answer = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
    script = directory / "plugin.py"
    script.write_text(f"open({str(directory / 'runs')!r}, 'a').write('x')\nprint({json.dumps(answer)!r})\n")
    plugin = {"apiVersion": answer["apiVersion"], "command": sys.executable, "args": [str(script)]}
    return {"exec": {**plugin, "interactiveMode": "Never"}}


async def test_a_kubeconfig_gives_server_token_and_namespace(tmp_path: Path) -> None:
    """What kubectl would use is used."""
    path = write_kubeconfig(tmp_path / "config", {"token": "t1"}, server="http://127.0.0.1:7/")
    found = await load(kubeconfig=str(path), environ={})
    assert found.base_url == "http://127.0.0.1:7"
    assert await found.credentials.fresh() == "Bearer t1"
    assert found.namespace == "ns-c"
    assert f"kubeconfig {path}, context c" == found.source


async def test_the_argument_goes_before_the_environment(tmp_path: Path) -> None:
    """As with kubectl; and $KUBECONFIG goes before the pod's service account."""
    first = write_kubeconfig(tmp_path / "a", {"token": "a"}, name="a")
    second = write_kubeconfig(tmp_path / "b", {"token": "b"}, name="b")
    environ = {"KUBECONFIG": str(second), "KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    assert (await load(kubeconfig=str(first), environ=environ)).namespace == "ns-a"
    assert (await load(environ=environ)).namespace == "ns-b"


async def test_several_files_are_merged_and_a_context_is_chosen(tmp_path: Path) -> None:
    """Files that are missing among several are passed over, as kubectl does; the first current context counts."""
    first = write_kubeconfig(tmp_path / "a", {"token": "a"}, name="a")
    second = write_kubeconfig(tmp_path / "b", {"token": "b"}, name="b")
    paths = f"{first}:{tmp_path / 'missing'}:{second}"
    found = await load(kubeconfig=paths, context="b", environ={})
    assert (found.namespace, found.credentials.authorization) == ("ns-b", "Bearer b")


async def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A path that was given is never passed over for another place."""
    with pytest.raises(ConfigError, match=r"kubeconfig /nowhere/config: there is no such file; correct the path"):
        await load(kubeconfig="/nowhere/config", environ={"KUBECONFIG": str(tmp_path)})


@pytest.mark.parametrize("text", ["", "[1, 2]", "clusters: {", "kind: Config", "contexts: 3"])
async def test_a_file_that_is_no_kubeconfig_is_named(tmp_path: Path, text: str) -> None:
    """Whatever is in it, the user reads the file's name."""
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(ConfigError, match=f"kubeconfig {path}, context"):
        await load(kubeconfig=str(path), environ={})


async def test_a_context_that_is_not_there_is_named(tmp_path: Path) -> None:
    """With the command that lists those that are."""
    path = write_kubeconfig(tmp_path / "config", {"token": "t"})
    with pytest.raises(ConfigError, match=r"context nope: .*kubectl config get-contexts"):
        await load(kubeconfig=str(path), context="nope", environ={})


async def test_a_token_file_is_taken_without_its_last_newline_and_read_again_when_refused(tmp_path: Path) -> None:
    """Files end with a newline, and headers with one are not allowed."""
    token = tmp_path / "token"
    token.write_text("one\n")
    path = write_kubeconfig(tmp_path / "config", {"tokenFile": str(token)})
    found = await load(kubeconfig=str(path), environ={})
    assert await found.credentials.fresh() == "Bearer one"
    token.write_text("two\n")
    await found.credentials.renew()
    assert await found.credentials.fresh() == "Bearer two"


async def test_a_login_plugin_is_run_once_until_its_token_ends(tmp_path: Path) -> None:
    """Plugins take a second and ask a server: not for each request."""
    end = datetime.datetime.now(tz=datetime.UTC) + datetime.timedelta(hours=1)
    user = exec_user(tmp_path, {"token": "p", "expirationTimestamp": end.strftime("%Y-%m-%dT%H:%M:%SZ")})
    found = await load(kubeconfig=str(write_kubeconfig(tmp_path / "config", user)), environ={})
    for _ in range(10):
        assert await found.credentials.fresh() == "Bearer p"
    assert (tmp_path / "runs").read_text() == "x"


async def test_a_failed_login_plugin_is_told_with_a_way_to_see_why(tmp_path: Path) -> None:
    """Without a login every request would be a 401 that explains nothing."""
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": sys.executable, "args": ["-c", "exit(3)"]}
    path = write_kubeconfig(tmp_path / "config", {"exec": plugin}, server="https://127.0.0.1:1")
    with pytest.raises(ConfigError, match=r"login plugin \(exec\), that failed: run `kubectl get namespaces`"):
        await load(kubeconfig=str(path), environ={})


async def test_a_client_certificate_is_loaded_and_counted(tmp_path: Path) -> None:
    """A renewal reads it again and says by the generation that connections are to be made anew."""
    cert_file, key_file = write_certificate(tmp_path)
    user = {"client-certificate": str(cert_file), "client-key": str(key_file)}
    path = write_kubeconfig(tmp_path / "config", user, server="https://127.0.0.1:1")
    found = await load(kubeconfig=str(path), environ={})
    assert (str(cert_file), str(key_file)) == (found.cert_file, found.key_file)
    assert None is await found.credentials.fresh()
    before = found.credentials.generation
    await found.credentials.renew()
    assert before + 1 == found.credentials.generation


async def test_a_broken_certificate_is_named_with_its_context(tmp_path: Path) -> None:
    """OpenSSL's own words alone would not say which file is meant."""
    broken = tmp_path / "tls.crt"
    broken.write_text("no certificate")
    user = {"client-certificate": str(broken), "client-key": str(broken)}
    path = write_kubeconfig(tmp_path / "config", user, server="https://127.0.0.1:1")
    with pytest.raises(ConfigError, match=f"kubeconfig {path}, context c: its certificates cannot be used"):
        await load(kubeconfig=str(path), environ={})


async def test_a_pod_logs_in_with_its_service_account(tmp_path: Path) -> None:
    """Server from the environment, token, authority and namespace from the mounted directory."""
    cert_file, _ = write_certificate(tmp_path)
    cert_file.rename(tmp_path / "ca.crt")
    (tmp_path / "token").write_text("sa\n")
    (tmp_path / "namespace").write_text("berth-system")
    environ = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    found = await load(environ=environ, service_account=tmp_path)
    assert found.base_url == "https://[fd00::1]:443"
    assert await found.credentials.fresh() == "bearer sa"
    assert found.namespace == "berth-system"
    (tmp_path / "token").write_text("rotated\n")
    await found.credentials.renew()
    assert await found.credentials.fresh() == "bearer rotated"


async def test_a_pod_without_a_token_says_what_to_look_at(tmp_path: Path) -> None:
    """The usual reason is a setting of the pod."""
    environ = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    with pytest.raises(ConfigError, match="automountServiceAccountToken"):
        await load(environ=environ, service_account=tmp_path)


def test_the_official_client_is_imported_only_when_a_connection_is_loaded() -> None:
    """Its import costs 0.2 s, which a command that needs no cluster should not pay."""
    code = "import sys, berth.kube.config, berth.kube.reflector; print('kubernetes' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"
