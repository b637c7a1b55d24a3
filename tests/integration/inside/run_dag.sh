# Runs in the image: one run of the DAG `hello` with the default executor (SequentialExecutor) on SQLite, by a real scheduler.
# Prints the final state as its last line; the scheduler's log goes to stderr where the run did not succeed.
set -eu
airflow db init > /tmp/init.log 2>&1 || { cat /tmp/init.log >&2; exit 1; }
airflow config get-value core executor
airflow dags reserialize > /dev/null 2>&1
airflow dags unpause hello > /dev/null 2>&1
airflow dags trigger hello --run-id test > /dev/null 2>&1
airflow scheduler > /tmp/scheduler.log 2>&1 &
scheduler=$!
state=
for _ in $(seq 120); do
    state=$(python -c 'import sqlite3; print(sqlite3.connect("/usr/local/airflow/airflow.db").execute("select state from dag_run").fetchone()[0])')
    case $state in success | failed) break ;; esac
    sleep 1
done
kill $scheduler
[ "$state" = success ] || cat /tmp/scheduler.log >&2
echo "$state"
