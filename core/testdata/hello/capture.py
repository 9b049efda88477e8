"""Captures ClientHellos of this machine's TLS clients on loopback, one file each, next to this script.

Run it by hand when a client has a new release; the tests read the files only. A file holds every byte that the client sent
before it got an answer. Nothing leaves the machine.
"""

import pathlib
import socket
import ssl
import subprocess
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).parent
NAME = "login.example.com"
LONG_ALPN = ",".join(f"protocol-number-{number}" for number in range(60))
LEGACY = ["-cipher", "DEFAULT@SECLEVEL=0"]


def capture(file, run):
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    client = threading.Thread(target=run, args=(port,), daemon=True)
    client.start()
    connection, _ = listener.accept()
    connection.settimeout(0.5)
    seen = b""
    try:
        while piece := connection.recv(65536):
            seen += piece
    except TimeoutError:
        pass
    connection.close()
    listener.close()
    client.join(5)
    (HERE / file).write_bytes(seen)
    print(f"{file}: {len(seen)} bytes")


def command(*words):
    def run(port):
        line = [word.replace("PORT", str(port)) for word in words]
        subprocess.run(line, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=10)

    return run


def s_client(*options):
    return command("openssl", "s_client", "-connect", "127.0.0.1:PORT", *options)


def curl(*options):
    return command("curl", "-sk", "--max-time", "5", "--resolve", f"{NAME}:PORT:127.0.0.1", *options, f"https://{NAME}:PORT/")


def python_ssl(port):
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    with socket.create_connection(("127.0.0.1", port)) as raw:
        try:
            context.wrap_socket(raw, server_hostname=NAME)
        except (ssl.SSLError, OSError):
            pass


def chromium(port):
    with tempfile.TemporaryDirectory() as profile:
        command(
            "timeout", "8", "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
            "--no-first-run", "--host-resolver-rules=MAP * 127.0.0.1", f"--user-data-dir={profile}",
            f"https://{NAME}:PORT/")(port)


NODE = f"require('tls').connect({{port: +process.argv[1], host: '127.0.0.1', servername: '{NAME}'}}).on('error', () => 0)"


def resumption(folder):
    """A real TLS 1.3 session of a server on loopback, so that the next hello carries a key and early data."""
    certificate, key, session = (str(folder / name) for name in ("cert.pem", "key.pem", "session.pem"))
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={NAME}",
         "-keyout", key, "-out", certificate], check=True, **quiet)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = subprocess.Popen(
        ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", certificate, "-key", key, "-max_early_data", "4096"],
        stdin=subprocess.PIPE, **quiet)
    time.sleep(1)
    client = subprocess.Popen(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", NAME, "-sess_out", session],
        stdin=subprocess.PIPE, **quiet)
    time.sleep(1)
    client.communicate(timeout=5)
    server.terminate()
    early = folder / "early"
    early.write_text("GET / HTTP/1.1\r\n\r\n")
    return session, str(early)


def main():
    capture("chromium.bin", chromium)
    capture("curl-http2.bin", curl("--http2"))
    capture("curl-http11.bin", curl("--http1.1"))
    capture("curl-tls12.bin", curl("--tls-max", "1.2"))
    capture("gnutls.bin", command("gnutls-cli", "--insecure", "--sni-hostname", NAME, "127.0.0.1", "-p", "PORT"))
    capture("node.bin", command("node", "-e", NODE, "PORT"))
    capture("openssl-address.bin", s_client("-servername", "127.0.0.1"))
    capture("openssl-alpn.bin", s_client("-servername", NAME, "-alpn", "h2,http/1.1"))
    capture("openssl-fragmented.bin", s_client("-servername", NAME, "-max_send_frag", "512", "-alpn", LONG_ALPN))
    capture("openssl-no-name.bin", s_client("-noservername"))
    capture("openssl-tls10.bin", s_client("-servername", NAME, "-tls1", *LEGACY))
    capture("openssl-tls11.bin", s_client("-servername", NAME, "-tls1_1", *LEGACY))
    capture("openssl-tls12.bin", s_client("-servername", NAME, "-tls1_2"))
    capture("openssl-tls13.bin", s_client("-servername", NAME, "-tls1_3"))
    capture("openssl-upper-case.bin", s_client("-servername", "LOGIN.Example.COM."))
    capture("python-ssl.bin", python_ssl)
    with tempfile.TemporaryDirectory() as folder:
        session, early = resumption(pathlib.Path(folder))
        capture("openssl-early-data.bin", s_client("-servername", NAME, "-sess_in", session, "-early_data", early))
        capture("openssl-resumed.bin", s_client("-servername", NAME, "-sess_in", session))


if __name__ == "__main__":
    main()
