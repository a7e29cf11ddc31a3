BEGIN TRANSACTION;
CREATE TABLE casbin_rule (
	id INTEGER NOT NULL, 
	ptype VARCHAR(255) NOT NULL, 
	v0 VARCHAR(255) NOT NULL, 
	v1 VARCHAR(255) NOT NULL, 
	v2 VARCHAR(255) NOT NULL, 
	v3 VARCHAR(255), 
	v4 VARCHAR(255), 
	v5 VARCHAR(255), 
	PRIMARY KEY (id), 
	CONSTRAINT casbin_rule_holds_role_assignments CHECK ((ptype = 'g' AND v3 IS NULL AND v4 IS NULL) OR (ptype = 'gt' AND (v3 IS NOT NULL OR v4 IS NOT NULL)) OR ptype = 'gm')
);
CREATE TABLE klausel_assignment_log (
	number INTEGER NOT NULL, 
	microseconds INTEGER NOT NULL, 
	kind VARCHAR(255) NOT NULL, 
	actor VARCHAR(255), 
	reason VARCHAR(1000), 
	ticket VARCHAR(255), 
	channel VARCHAR(255) NOT NULL, 
	caller VARCHAR(255), 
	request_id VARCHAR(255), 
	granted INTEGER NOT NULL, 
	revoked INTEGER NOT NULL, 
	rows_digest VARCHAR(255) NOT NULL, 
	revision VARCHAR(255) NOT NULL, 
	previous VARCHAR(255) NOT NULL, 
	hash VARCHAR(255) NOT NULL, 
	PRIMARY KEY (number)
);
INSERT INTO "klausel_assignment_log" VALUES(1,1795949593433767,'begins',NULL,NULL,NULL,'python',NULL,NULL,0,0,'4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945','a6563ae1-0','0000000000000000000000000000000000000000000000000000000000000000','4be0a7baae5013d2f478b727cc0563ea15c86c3f2d36d1e97f006720f99f27c1');
INSERT INTO "klausel_assignment_log" VALUES(2,1795949593519531,'entities',NULL,NULL,NULL,'python',NULL,NULL,4,0,'27478c856bd8368a1c9a875f75cc2f754518cdc8c3f8759b3dac367de8a4ec7e','a6563ae1-1','4be0a7baae5013d2f478b727cc0563ea15c86c3f2d36d1e97f006720f99f27c1','fe5d16691c64028e51846748a002b815684c72eb76ded50718227d766f8815cf');
CREATE TABLE klausel_assignment_log_row (
	number INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	sign SMALLINT NOT NULL, 
	subject VARCHAR(255) NOT NULL, 
	role VARCHAR(255) NOT NULL, 
	domain VARCHAR(255) NOT NULL, 
	starts VARCHAR(255), 
	ends VARCHAR(255), 
	PRIMARY KEY (number, position)
)
 WITHOUT ROWID

;
CREATE TABLE klausel_change (
	revision INTEGER NOT NULL, 
	subject VARCHAR(255) NOT NULL, 
	PRIMARY KEY (revision, subject)
);
INSERT INTO "klausel_change" VALUES(1,'todo:1');
INSERT INTO "klausel_change" VALUES(1,'todo:2');
INSERT INTO "klausel_change" VALUES(1,'todo:3');
INSERT INTO "klausel_change" VALUES(1,'user:ann');
CREATE TABLE klausel_entity (
	kind VARCHAR(8) NOT NULL, 
	type VARCHAR(255) NOT NULL, 
	id VARCHAR(255) NOT NULL, 
	domain VARCHAR(255) NOT NULL, 
	properties TEXT NOT NULL, 
	PRIMARY KEY (kind, type, id), 
	CONSTRAINT klausel_entity_is_subject_or_resource CHECK (kind IN ('subject', 'resource'))
)
 WITHOUT ROWID

;
INSERT INTO "klausel_entity" VALUES('resource','todo','1','acme/red','{"done":true,"owner":"ann","size":10}');
INSERT INTO "klausel_entity" VALUES('resource','todo','2','acme/red','{"labels":["x"],"size":9.5}');
INSERT INTO "klausel_entity" VALUES('resource','todo','3','acme/red','{"size":-1.5}');
INSERT INTO "klausel_entity" VALUES('subject','user','ann','','{"grade":3}');
CREATE TABLE klausel_entity_log_row (
	number INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	sign SMALLINT NOT NULL, 
	kind VARCHAR(8) NOT NULL, 
	type VARCHAR(255) NOT NULL, 
	id VARCHAR(255) NOT NULL, 
	domain VARCHAR(255) NOT NULL, 
	properties TEXT NOT NULL, 
	PRIMARY KEY (number, position)
)
 WITHOUT ROWID

;
INSERT INTO "klausel_entity_log_row" VALUES(2,0,1,'resource','todo','1','acme/red','{"done":true,"owner":"ann","size":10}');
INSERT INTO "klausel_entity_log_row" VALUES(2,1,1,'resource','todo','2','acme/red','{"labels":["x"],"size":9.5}');
INSERT INTO "klausel_entity_log_row" VALUES(2,2,1,'resource','todo','3','acme/red','{"size":-1.5}');
INSERT INTO "klausel_entity_log_row" VALUES(2,3,1,'subject','user','ann','','{"grade":3}');
CREATE TABLE klausel_entity_property (
	kind VARCHAR(8) NOT NULL, 
	type VARCHAR(255) NOT NULL, 
	name VARCHAR(40) NOT NULL, 
	value VARCHAR(100) NOT NULL, 
	id VARCHAR(255) NOT NULL, 
	PRIMARY KEY (kind, type, name, value, id)
)
 WITHOUT ROWID

;
INSERT INTO "klausel_entity_property" VALUES('resource','todo','done','1','1');
INSERT INTO "klausel_entity_property" VALUES('resource','todo','labels','x','2');
INSERT INTO "klausel_entity_property" VALUES('resource','todo','owner','ann','1');
INSERT INTO "klausel_entity_property" VALUES('resource','todo','size','-1','3');
INSERT INTO "klausel_entity_property" VALUES('resource','todo','size','10','1');
INSERT INTO "klausel_entity_property" VALUES('resource','todo','size','9','2');
INSERT INTO "klausel_entity_property" VALUES('subject','user','grade','3','ann');
CREATE TABLE klausel_state (
	id INTEGER NOT NULL, 
	schema_version INTEGER NOT NULL, 
	lineage VARCHAR(32) NOT NULL, 
	revision INTEGER NOT NULL, 
	log_starts_after INTEGER NOT NULL, 
	PRIMARY KEY (id), 
	CONSTRAINT klausel_state_is_one_row CHECK (id = 1)
);
INSERT INTO "klausel_state" VALUES(1,6,'a6563ae1',1,0);
CREATE UNIQUE INDEX casbin_rule_once ON casbin_rule (v0, v1, v2);
CREATE INDEX casbin_rule_by_role ON casbin_rule (v1, v0, v2);
CREATE INDEX casbin_rule_of_groups ON casbin_rule (v2, v1, v0) WHERE v0 >= 'group:' AND v0 < 'group;';
CREATE INDEX casbin_rule_by_domain ON casbin_rule (v2, v1, v0);
CREATE INDEX casbin_rule_by_depth ON casbin_rule (v1, (length(v2) - length(replace(v2, '/', '')))) WHERE v2 <> '';
CREATE INDEX casbin_rule_with_times ON casbin_rule (v0) WHERE ptype <> 'g';
CREATE INDEX casbin_rule_by_end ON casbin_rule (v4) WHERE ptype <> 'g';
CREATE INDEX klausel_entity_by_domain ON klausel_entity (kind, type, domain, id);
CREATE INDEX klausel_assignment_log_by_time ON klausel_assignment_log (microseconds);
CREATE TRIGGER klausel_assignment_log_no_update BEFORE update ON klausel_assignment_log BEGIN SELECT RAISE(ABORT, 'the change log of role assignments is append-only'); END;
CREATE TRIGGER klausel_assignment_log_no_delete BEFORE delete ON klausel_assignment_log BEGIN SELECT RAISE(ABORT, 'the change log of role assignments is append-only'); END;
CREATE TRIGGER klausel_assignment_log_no_replace BEFORE insert ON klausel_assignment_log WHEN EXISTS (SELECT 1 FROM klausel_assignment_log WHERE number = NEW.number) BEGIN SELECT RAISE(ABORT, 'the change log of role assignments is append-only'); END;
CREATE INDEX klausel_assignment_log_row_by_subject ON klausel_assignment_log_row (subject, role, domain, number, sign, starts, ends);
CREATE TRIGGER klausel_assignment_log_row_no_update BEFORE update ON klausel_assignment_log_row BEGIN SELECT RAISE(ABORT, 'the change log of role assignments is append-only'); END;
CREATE TRIGGER klausel_assignment_log_row_no_delete BEFORE delete ON klausel_assignment_log_row BEGIN SELECT RAISE(ABORT, 'the change log of role assignments is append-only'); END;
CREATE TRIGGER klausel_assignment_log_row_no_replace BEFORE insert ON klausel_assignment_log_row WHEN EXISTS (SELECT 1 FROM klausel_assignment_log_row WHERE number = NEW.number AND position = NEW.position) BEGIN SELECT RAISE(ABORT, 'the change log of role assignments is append-only'); END;
CREATE INDEX klausel_entity_log_row_by_entity ON klausel_entity_log_row (kind, type, id, number, position);
CREATE TRIGGER klausel_entity_log_row_no_update BEFORE update ON klausel_entity_log_row BEGIN SELECT RAISE(ABORT, 'the change log of role assignments is append-only'); END;
CREATE TRIGGER klausel_entity_log_row_no_delete BEFORE delete ON klausel_entity_log_row BEGIN SELECT RAISE(ABORT, 'the change log of role assignments is append-only'); END;
CREATE TRIGGER klausel_entity_log_row_no_replace BEFORE insert ON klausel_entity_log_row WHEN EXISTS (SELECT 1 FROM klausel_entity_log_row WHERE number = NEW.number AND position = NEW.position) BEGIN SELECT RAISE(ABORT, 'the change log of role assignments is append-only'); END;
CREATE TRIGGER casbin_rule_noted_insert BEFORE insert ON casbin_rule WHEN NOT EXISTS (SELECT 1 FROM klausel_change WHERE revision = -1) BEGIN UPDATE klausel_state SET revision = revision + 1, log_starts_after = max(log_starts_after, revision + 1 - 500); DELETE FROM klausel_change WHERE revision <= (SELECT log_starts_after FROM klausel_state); INSERT INTO klausel_change (revision, subject) SELECT (SELECT revision FROM klausel_state), subject FROM (SELECT NEW.v0 AS subject UNION SELECT v0 FROM casbin_rule WHERE id = NEW.id); END;
CREATE TRIGGER casbin_rule_noted_update BEFORE update ON casbin_rule WHEN NOT EXISTS (SELECT 1 FROM klausel_change WHERE revision = -1) BEGIN UPDATE klausel_state SET revision = revision + 1, log_starts_after = max(log_starts_after, revision + 1 - 500); DELETE FROM klausel_change WHERE revision <= (SELECT log_starts_after FROM klausel_state); INSERT INTO klausel_change (revision, subject) SELECT (SELECT revision FROM klausel_state), subject FROM (SELECT OLD.v0 AS subject UNION SELECT NEW.v0 UNION SELECT v0 FROM casbin_rule WHERE id = NEW.id); END;
CREATE TRIGGER casbin_rule_noted_delete BEFORE delete ON casbin_rule WHEN NOT EXISTS (SELECT 1 FROM klausel_change WHERE revision = -1) BEGIN UPDATE klausel_state SET revision = revision + 1, log_starts_after = max(log_starts_after, revision + 1 - 500); DELETE FROM klausel_change WHERE revision <= (SELECT log_starts_after FROM klausel_state); INSERT INTO klausel_change (revision, subject) SELECT (SELECT revision FROM klausel_state), subject FROM (SELECT OLD.v0 AS subject); END;
CREATE TRIGGER klausel_entity_noted_insert BEFORE insert ON klausel_entity WHEN NOT EXISTS (SELECT 1 FROM klausel_change WHERE revision = -1) BEGIN UPDATE klausel_state SET revision = revision + 1, log_starts_after = max(log_starts_after, revision + 1 - 500); DELETE FROM klausel_change WHERE revision <= (SELECT log_starts_after FROM klausel_state); INSERT INTO klausel_change (revision, subject) SELECT (SELECT revision FROM klausel_state), subject FROM (SELECT NEW.type || ':' || NEW.id AS subject); END;
CREATE TRIGGER klausel_entity_noted_update BEFORE update ON klausel_entity WHEN NOT EXISTS (SELECT 1 FROM klausel_change WHERE revision = -1) BEGIN UPDATE klausel_state SET revision = revision + 1, log_starts_after = max(log_starts_after, revision + 1 - 500); DELETE FROM klausel_change WHERE revision <= (SELECT log_starts_after FROM klausel_state); INSERT INTO klausel_change (revision, subject) SELECT (SELECT revision FROM klausel_state), subject FROM (SELECT OLD.type || ':' || OLD.id AS subject UNION SELECT NEW.type || ':' || NEW.id AS subject); END;
CREATE TRIGGER klausel_entity_noted_delete BEFORE delete ON klausel_entity WHEN NOT EXISTS (SELECT 1 FROM klausel_change WHERE revision = -1) BEGIN UPDATE klausel_state SET revision = revision + 1, log_starts_after = max(log_starts_after, revision + 1 - 500); DELETE FROM klausel_change WHERE revision <= (SELECT log_starts_after FROM klausel_state); INSERT INTO klausel_change (revision, subject) SELECT (SELECT revision FROM klausel_state), subject FROM (SELECT OLD.type || ':' || OLD.id AS subject); END;
CREATE TRIGGER klausel_entity_indexed_insert AFTER insert ON klausel_entity BEGIN INSERT INTO klausel_entity_property (kind, type, name, value, id) SELECT * FROM (SELECT NEW.kind, NEW.type, substr(property.key, 1, 40) AS name, CASE property.type WHEN 'text' THEN substr(property.value, 1, 100) ELSE CAST(CAST(property.value AS INTEGER) AS TEXT) END AS value, NEW.id FROM json_each(NEW.properties) AS property WHERE property.type IN ('text', 'integer', 'real', 'true', 'false') UNION SELECT NEW.kind, NEW.type, substr(property.key, 1, 40), CASE part.type WHEN 'text' THEN substr(part.value, 1, 100) ELSE CAST(CAST(part.value AS INTEGER) AS TEXT) END, NEW.id FROM json_each(NEW.properties) AS property, json_each(property.value) AS part WHERE property.type = 'array' AND part.type IN ('text', 'integer', 'real', 'true', 'false')) WHERE true ON CONFLICT DO NOTHING; END;
CREATE TRIGGER klausel_entity_indexed_update AFTER update ON klausel_entity BEGIN DELETE FROM klausel_entity_property WHERE (kind, type, name, value, id) IN (SELECT OLD.kind, OLD.type, substr(property.key, 1, 40) AS name, CASE property.type WHEN 'text' THEN substr(property.value, 1, 100) ELSE CAST(CAST(property.value AS INTEGER) AS TEXT) END AS value, OLD.id FROM json_each(OLD.properties) AS property WHERE property.type IN ('text', 'integer', 'real', 'true', 'false') UNION SELECT OLD.kind, OLD.type, substr(property.key, 1, 40), CASE part.type WHEN 'text' THEN substr(part.value, 1, 100) ELSE CAST(CAST(part.value AS INTEGER) AS TEXT) END, OLD.id FROM json_each(OLD.properties) AS property, json_each(property.value) AS part WHERE property.type = 'array' AND part.type IN ('text', 'integer', 'real', 'true', 'false'));INSERT INTO klausel_entity_property (kind, type, name, value, id) SELECT * FROM (SELECT NEW.kind, NEW.type, substr(property.key, 1, 40) AS name, CASE property.type WHEN 'text' THEN substr(property.value, 1, 100) ELSE CAST(CAST(property.value AS INTEGER) AS TEXT) END AS value, NEW.id FROM json_each(NEW.properties) AS property WHERE property.type IN ('text', 'integer', 'real', 'true', 'false') UNION SELECT NEW.kind, NEW.type, substr(property.key, 1, 40), CASE part.type WHEN 'text' THEN substr(part.value, 1, 100) ELSE CAST(CAST(part.value AS INTEGER) AS TEXT) END, NEW.id FROM json_each(NEW.properties) AS property, json_each(property.value) AS part WHERE property.type = 'array' AND part.type IN ('text', 'integer', 'real', 'true', 'false')) WHERE true ON CONFLICT DO NOTHING; END;
CREATE TRIGGER klausel_entity_indexed_delete AFTER delete ON klausel_entity BEGIN DELETE FROM klausel_entity_property WHERE (kind, type, name, value, id) IN (SELECT OLD.kind, OLD.type, substr(property.key, 1, 40) AS name, CASE property.type WHEN 'text' THEN substr(property.value, 1, 100) ELSE CAST(CAST(property.value AS INTEGER) AS TEXT) END AS value, OLD.id FROM json_each(OLD.properties) AS property WHERE property.type IN ('text', 'integer', 'real', 'true', 'false') UNION SELECT OLD.kind, OLD.type, substr(property.key, 1, 40), CASE part.type WHEN 'text' THEN substr(part.value, 1, 100) ELSE CAST(CAST(part.value AS INTEGER) AS TEXT) END, OLD.id FROM json_each(OLD.properties) AS property, json_each(property.value) AS part WHERE property.type = 'array' AND part.type IN ('text', 'integer', 'real', 'true', 'false')); END;
COMMIT;
