#!/bin/sh
# Creates the two databases of a Temporal server and brings their schemas up to date; safe to run again at any time.
# POSTGRES_HOST, POSTGRES_PORT, POSTGRES_USER and SQL_PASSWORD say where; SQL_TOOL is temporal-sql-tool unless set.
set -eu

prepare() {
  database=$1
  schema=$2
  tool() {
    "${SQL_TOOL:-temporal-sql-tool}" --plugin postgres12 --endpoint "$POSTGRES_HOST" --port "$POSTGRES_PORT" \
      --user "$POSTGRES_USER" --password "$SQL_PASSWORD" --db "$database" "$@"
  }
  echo "database $database: creating it if it is missing"
  tool create
  # Fails on a database that has its version tables already; then the update below is all there is to do.
  tool setup-schema --version 0.0 2>/dev/null || echo "database $database: has its version tables"
  echo "database $database: updating its schema"
  tool update-schema --schema-name "$schema"
}

prepare temporal postgresql/v12/temporal
prepare temporal_visibility postgresql/v12/visibility
echo 'the databases are ready'
