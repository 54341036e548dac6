#!/bin/sh
# Makes the private bucket and a user who may do nothing but use it; run again, it changes nothing.
set -eu

mc alias set store http://minio:9000 "$MINIO_ROOT_USER" "$MINIO_ROOT_PASSWORD" >/dev/null
mc mb --ignore-existing store/framequeue-objects
mc anonymous set none store/framequeue-objects
mc admin user add store "$FQ_S3_ACCESS_KEY" "$FQ_S3_SECRET_KEY" >/dev/null
mc admin policy create store framequeue /setup/policy.json
# Attaching what is attached already is an error to mc; then the user's own page must name the policy.
mc admin policy attach store framequeue --user "$FQ_S3_ACCESS_KEY" 2>/dev/null ||
    mc admin user info store "$FQ_S3_ACCESS_KEY" | grep -q framequeue
echo "bucket framequeue-objects is ready"
