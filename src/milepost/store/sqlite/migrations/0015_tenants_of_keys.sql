-- From when on a key is refused, and where it may do something: a page of a tenant's keys, and a count of those that are
-- valid there, cost what they find, whatever other tenants have and whatever has ended.
ALTER TABLE api_key ADD COLUMN ends_at INTEGER GENERATED ALWAYS AS (
    min(ifnull(revoked_at, 9223372036854775807), ifnull(expires_at, 9223372036854775807))
) VIRTUAL;
CREATE INDEX api_key_end ON api_key (ends_at);
CREATE TABLE api_key_tenant (
    tenant TEXT NOT NULL,
    key INTEGER NOT NULL,
    whose TEXT NOT NULL,
    ends_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX api_key_tenant_end ON api_key_tenant (tenant, ends_at);
DROP INDEX api_key_name;
CREATE INDEX api_key_tenant_name ON api_key_tenant (tenant, whose, ends_at);
INSERT INTO api_key_tenant
SELECT DISTINCT held.value ->> 0, api_key.row, api_key.name, api_key.ends_at FROM api_key, json_each(api_key.grants) AS held;

CREATE TRIGGER api_key_made AFTER INSERT ON api_key BEGIN
    INSERT INTO api_key_tenant
    SELECT DISTINCT held.value ->> 0, new.row, new.name, new.ends_at FROM json_each(new.grants) AS held;
END;
CREATE TRIGGER api_key_ends AFTER UPDATE OF revoked_at, expires_at ON api_key BEGIN
    UPDATE api_key_tenant SET ends_at = new.ends_at
    WHERE tenant IN (SELECT held.value ->> 0 FROM json_each(new.grants) AS held) AND key = new.row;
END;
CREATE TRIGGER api_key_gone AFTER DELETE ON api_key BEGIN
    DELETE FROM api_key_tenant
    WHERE tenant IN (SELECT held.value ->> 0 FROM json_each(old.grants) AS held) AND key = old.row;
END;
