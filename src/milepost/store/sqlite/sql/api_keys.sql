-- name: api_key_columns
-- Part: what is read of a key, in the order of ApiKey's fields.
id, name, display_name, grants, profile, digest, created_at, revoked_at, expires_at, last_used_at, replaced_by

-- name: managed
-- Part: whether a key is among those that are asked for: all, or those whose grants all lie in some tenants.
(:tenants IS NULL OR NOT EXISTS (
    SELECT 1 FROM json_each(grants) AS held WHERE held.value ->> 0 NOT IN (SELECT value FROM json_each(:tenants))
))

-- name: put_api_key
-- Makes a key.
INSERT INTO api_key ({api_key_columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: find_api_key
-- The key of an id, whether or not it has ended: asked at each request.
SELECT {api_key_columns} FROM api_key WHERE id = ?

-- name: api_keys
-- A page of all keys, oldest first, each after its row.
SELECT row, {api_key_columns} FROM api_key WHERE row > :after ORDER BY row LIMIT :limit

-- name: api_keys_in
-- A page of the keys that are asked for and that may do something in a tenant, oldest first, each after its row.
SELECT row, {api_key_columns} FROM api_key_tenant AS its JOIN api_key ON row = its.key
WHERE its.tenant = :tenant AND its.key > :after AND {managed} ORDER BY its.key LIMIT :limit

-- name: valid_api_keys
-- How many keys are valid that may do something in a tenant, counted up to some number.
SELECT count(*) FROM (SELECT 1 FROM api_key_tenant WHERE tenant = :tenant AND ends_at > :now LIMIT :enough)

-- name: newest_valid_key
-- The newest of somebody's keys that are valid in a tenant, and what people call him by it.
SELECT row, display_name FROM api_key WHERE row = (
    SELECT max(key) FROM api_key_tenant WHERE tenant = :tenant AND whose = :name AND ends_at > :now
)

-- name: last_valid_key
-- The last of somebody's keys to be valid in a tenant, with its end, and what people call him by it.
SELECT its.ends_at, its.key, display_name FROM api_key_tenant AS its JOIN api_key ON row = its.key
WHERE its.tenant = :tenant AND its.whose = :name ORDER BY its.ends_at DESC, its.key DESC LIMIT 1

-- name: any_api_key
-- Whether ever a key was made.
SELECT EXISTS (SELECT 1 FROM api_key)

-- name: revoke_api_key
-- Ends a key; one that was revoked before keeps the time.
UPDATE api_key SET revoked_at = ifnull(revoked_at, :now) WHERE id = :id AND {managed} RETURNING {api_key_columns}

-- name: copy_api_key
-- Makes a key like one that is valid and was not replaced so far, to live as long as that one from now on.
INSERT INTO api_key (id, name, display_name, grants, profile, digest, created_at, expires_at)
SELECT :new_id, name, display_name, grants, profile, :digest, :now, :now + expires_at - created_at
FROM api_key
WHERE id = :id AND {managed}
  AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > :now) AND replaced_by IS NULL
RETURNING {api_key_columns}

-- name: replace_api_key
-- Lets a key end that another takes the place of.
UPDATE api_key SET replaced_by = :new_id, expires_at = min(ifnull(expires_at, :until), :until) WHERE id = :id

-- name: forget_api_keys
-- Drops keys that ended long ago. The newest stays: by it the store knows that it had keys, and no row is given twice.
-- So does one that says what people call somebody who has tasks where it let him in.
DELETE FROM api_key WHERE row IN (
    SELECT k.row FROM api_key AS k
    WHERE k.ends_at <= :until AND k.row < (SELECT max(row) FROM api_key)
      AND NOT (k.display_name <> k.name AND (
          EXISTS (
              SELECT 1 FROM json_each(k.grants) AS held CROSS JOIN task AS t ON t.tenant = held.value ->> 0
              WHERE t.owner = k.name
          ) OR (
              EXISTS (SELECT 1 FROM json_each(k.grants) AS held WHERE held.value ->> 0 = '*')
              AND EXISTS (SELECT 1 FROM tenant CROSS JOIN task AS t ON t.tenant = tenant.name WHERE t.owner = k.name)
          )
      ))
    ORDER BY k.ends_at LIMIT :limit
)
RETURNING id

-- name: put_display_name
-- Keeps what people call somebody.
INSERT INTO display_name (name, display_name) VALUES (?, ?)
ON CONFLICT (name) DO UPDATE SET display_name = excluded.display_name

-- name: display_name_of
-- What people call somebody.
SELECT display_name FROM display_name WHERE name = ?

-- name: note_api_key_use
-- Keeps when a key was used.
UPDATE api_key SET last_used_at = max(ifnull(last_used_at, ?1), ?1) WHERE id = ?2
