"""Requirements files of projects: those that ask for another Airflow, and those that do not. The image has 2.6.0."""

from __future__ import annotations

from pathlib import Path

Files = dict[str, bytes]

_SPELLINGS = {
    "bare": "apache-airflow",
    "upper bound": "apache-airflow<3",
    "lower bound": "apache-airflow>=2.5",
    "compatible": "apache-airflow~=2.6.0",
    "not equal": "apache-airflow!=2.5.0",
    "other version": "apache-airflow==2.7.0",
    "any patch": "apache-airflow==2.6.*",
    "arbitrary equality": "apache-airflow===2.7.0",
    "two clauses": "apache-airflow==2.6.0,<3",
    "parentheses": "apache-airflow (==2.7.0)",
    "extra": "apache-airflow[extra]==2.7",
    "extras without version": "apache-airflow[celery,statsd]",
    "case and underscore": "Apache_Airflow==2",
    "dot": "apache.airflow==2.7.0",
    "several separators": "apache-_.airflow<=2.7.0",
    "white space": "   apache-airflow\t ==   2.7.0   ",
    "comment": "apache-airflow==2.7.0  # the newest",
    "marker": 'apache-airflow==2.7.0; python_version < "3"',
    "marker without spaces": "apache-airflow<3;sys_platform=='win32'",
    "hash": "apache-airflow==2.7.0 --hash=sha256:" + "0" * 64,
    "continued": "apache-airflow\\\n==2.7.0",
    "continued within the name": "apache-\\\nairflow==2.7.0",
    "other lines before": "requests\n\n# apache-airflow==2.6.0\n-i https://index.invalid/simple\napache-airflow==2.7.0",
    "name at address": "apache-airflow @ https://files.invalid/apache-airflow-2.7.0.tar.gz",
    "name at address of the same version": "apache-airflow@https://files.invalid/apache_airflow-2.6.0-py3-none-any.whl",
    "wheel": "https://files.invalid/apache_airflow-2.7.0-py3-none-any.whl",
    "sdist": "https://files.invalid/apache-airflow-2.7.0.tar.gz",
    "quoted address": "https://files.invalid/apache%2Dairflow-2.7.0.tar.gz",
    "archive of the repository": "https://code.invalid/apache/airflow/archive/refs/tags/2.7.0.tar.gz",
    "repository": "git+https://code.invalid/apache/airflow.git@2.7.0",
    "repository without suffix": "git+https://code.invalid/apache/airflow",
    "repository with a name": "git+https://code.invalid/a/fork.git@main#egg=apache-airflow",
    "repository over ssh": "git+ssh://git@code.invalid/apache/airflow.git@main",
    "name at repository": "Apache.Airflow[celery] @ git+https://code.invalid/a/fork.git@main",
    "editable": "-e git+https://code.invalid/a/fork.git#egg=apache_airflow",
    "editable, long": "--editable=git+https://code.invalid/apache/airflow.git",
    "local wheel": "./wheels/apache_airflow-2.7.0-py3-none-any.whl",
    "file address": "file:///wheels/apache_airflow-2.7.0-py3-none-any.whl",
    "upgrade before": "--upgrade apache-airflow",
    "upgrade after": "apache-airflow --upgrade",
    "upgrade, short": "-U apache-airflow==2.7.0",
    "force": "--force-reinstall apache-airflow==2.6.0",
    "variable": "${AIRFLOW_PACKAGE}<3",
    "not a requirement": "apache-airflow = 2.7.0",
    "arrow": "apache-airflow=>2.7.0",
    "Airflow 3": "apache-airflow-core==3.0.0",
    "Airflow 3, its other part": "apache_airflow_task_sdk",
}

FORBIDDEN: dict[str, Files] = {name: {"requirements.txt": text.encode()} for name, text in _SPELLINGS.items()} | {
    "byte order mark": {"requirements.txt": b"\xef\xbb\xbfapache-airflow==2.7.0\n"},
    "UTF-16": {"requirements.txt": "apache-airflow==2.7.0\r\n".encode("utf-16")},
    "CR/LF": {"requirements.txt": b"requests\r\napache-airflow==2.7.0\r\n"},
    "CR/LF and continued": {"requirements.txt": b"apache-airflow \\\r\n==2.7.0\r\n"},
    "form feed": {"requirements.txt": b"requests\x0capache-airflow==2.7.0"},
    "line separator": {"requirements.txt": "requests\u2028apache-airflow==2.7.0".encode()},
    "no final newline": {"requirements.txt": b"requests\n\n\napache-airflow==2.7.0"},
}
"""Each is refused, for what it says of Airflow. AIRFLOW_PACKAGE is apache-airflow."""

FORBIDDEN_TREES: dict[str, Files] = {
    "included": {"requirements.txt": b"-r more.txt\n", "more.txt": b"apache-airflow==2.7.0\n"},
    "included, long": {"requirements.txt": b"--requirement=more.txt", "more.txt": b"apache-airflow<3"},
    "constraint": {"requirements.txt": b"-c bounds.txt\nrequests\n", "bounds.txt": b"apache-airflow==2.7.0\n"},
    "nested and relative": {
        "requirements.txt": b"-r parts/first.txt",
        "parts/first.txt": b"requests\n-r ../other/second.txt\n",
        "other/second.txt": b"-c third.txt",
        "other/third.txt": b"Apache.Airflow>=2.7 ; python_version > '3'",
    },
    "included after a space and a comment": {
        "requirements.txt": b"  -r   more.txt   # more\n",
        "more.txt": b"apache_airflow[google]>2.6\n",
    },
}
"""The same through files that the file pulls in."""

ALLOWED: dict[str, Files] = {
    name: {"requirements.txt": text.encode()}
    for name, text in {
        "the very version": "apache-airflow==2.6.0",
        "the very version, otherwise": "Apache_Airflow == 2.6",
        "with extras": "apache-airflow[celery,statsd]==2.6.0",
        "provider": "apache-airflow-providers-http",
        "providers": "apache-airflow-providers-http==4.3.0\nApache_Airflow_Providers.Amazon>=8,<9\n",
        "provider with an extra": "apache-airflow-providers-google[amazon]",
        "provider at an address": "https://files.invalid/apache_airflow_providers_http-4.3.0-py3-none-any.whl",
        "provider of the repository": "apache-airflow-providers-http @ git+https://code.invalid/apache/airflow.git",
        "client": "apache-airflow-client==2.6.0",
        "comment": "# apache-airflow==2.7.0\n#-r more.txt",
        "another's airflow": "git+https://code.invalid/company/airflow-helpers.git",
        "similar": "my-apache-airflow-plugin",
        "index": "--extra-index-url https://index.invalid/simple\nrequests",
        "empty": "",
        "CR/LF": "requests\r\n\r\napache-airflow-providers-http\r\n",
    }.items()
}
"""None is refused."""


def write(folder: Path, files: Files) -> Path:
    """Write `files` into `folder`; returns the path of requirements.txt."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder / "requirements.txt"
