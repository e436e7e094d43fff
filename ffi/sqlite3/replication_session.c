/*
** WAL replication: connections that run the SQL of users. Included by replication.c.
*/

#define SESSION_CLIENT_NAME "wal_replication_session"

typedef struct ReplSession ReplSession;
struct ReplSession {
  ReplSession *pNext;        /* Next in replSessions */
  sqlite3 *db;
  const char *zWal;          /* WAL of the main database. Lives as long as the connection */
  int iOwner;                /* Who opened it, or 0 */
  u8 bTainted;
  u8 bBudget;                /* A statement runs under a budget: nothing may be compiled */
  char zDenied[160];         /* Message of the last refusal, or empty */
};

/* All sessions of the process. Guarded by replMutex(). */
static ReplSession *replSessions;

static int replIsOneOf(const char *z, const char *const *azList){
  for(; *azList; azList++){
    if( sqlite3StrICmp(z, *azList)==0 ) return 1;
  }
  return 0;
}

static int replDeny(ReplSession *p, const char *zFormat, const char *zArg){
  sqlite3_snprintf(sizeof(p->zDenied), p->zDenied, zFormat, zArg);
  return SQLITE_DENY;
}

static int replAuthorizePragma(ReplSession *p, const char *zName, const char *zArg){
  /* Refused with a value: replication depends on the setting, or it reaches beyond the session. */
  static const char *const azFixed[] = {
    "data_store_directory", "hard_heap_limit", "journal_mode", "journal_size_limit", "locking_mode",
    "mmap_size", "page_size", "schema_version", "soft_heap_limit", "synchronous",
    "temp_store_directory", "wal_autocheckpoint", "writable_schema", 0
  };
  /* The argument says what to look at, or the value goes into the database. */
  static const char *const azHarmless[] = {
    "application_id", "foreign_key_check", "foreign_key_list", "incremental_vacuum", "index_info",
    "index_list", "index_xinfo", "integrity_check", "optimize", "quick_check", "table_info",
    "table_list", "table_xinfo", "user_version", 0
  };
  if( sqlite3StrICmp(zName, "wal_checkpoint")==0 ){
    return replDeny(p, "PRAGMA %s is not allowed: replication decides on checkpoints", zName);
  }
  if( zArg==0 || replIsOneOf(zName, azHarmless) ) return SQLITE_OK;
  if( sqlite3StrICmp(zName, "journal_mode")==0 && sqlite3StrICmp(zArg, "wal")==0 ){
    return SQLITE_OK;
  }
  if( replIsOneOf(zName, azFixed) ){
    return replDeny(p, "PRAGMA %s cannot be set: the database is replicated", zName);
  }
  p->bTainted = 1;
  return SQLITE_OK;
}

static int replAuthorizeAttach(ReplSession *p, const char *zFile){
  if( zFile && zFile[0]==0 && (p->db->mDbFlags & DBFLAG_Vacuum)!=0 ) return SQLITE_OK;
  if( zFile && (zFile[0]==0 || strcmp(zFile, ":memory:")==0) ){
    p->bTainted = 1;
    return SQLITE_OK;
  }
  if( p->db->mDbFlags & DBFLAG_Vacuum ){
    return replDeny(p, "VACUUM INTO is not allowed%s", "");
  }
  return replDeny(p, "ATTACH is allowed for '' and ':memory:' only%s", "");
}

static int replAuthorize(
  void *pArg, int eAction, const char *z1, const char *z2, const char *zDb, const char *zTrigger
){
  ReplSession *p = (ReplSession*)pArg;
  UNUSED_PARAMETER(zTrigger);
  p->zDenied[0] = 0;
  /* The schema changed: what the statement would become may not be brief any more. */
  if( p->bBudget ) return replDeny(p, "not prepared again within a budget%s", "");
  switch( eAction ){
    case SQLITE_PRAGMA:
      return replAuthorizePragma(p, z1, z2);
    case SQLITE_ATTACH:
      return replAuthorizeAttach(p, z1);
    case SQLITE_FUNCTION:
      return z2 && sqlite3StrICmp(z2, "load_extension")==0 ? SQLITE_DENY : SQLITE_OK;
    case SQLITE_CREATE_TEMP_INDEX:
    case SQLITE_CREATE_TEMP_TABLE:
    case SQLITE_CREATE_TEMP_TRIGGER:
    case SQLITE_CREATE_TEMP_VIEW:
      p->bTainted = 1;
      return SQLITE_OK;
    case SQLITE_CREATE_VTABLE:
      if( zDb && sqlite3StrICmp(zDb, "temp")==0 ) p->bTainted = 1;
      return SQLITE_OK;
    default:
      return SQLITE_OK;
  }
}

/* Hook of auth.c: the message of a refusal. */
static const char *walReplicationAuthMessage(sqlite3 *db){
  if( db->xAuth==(sqlite3_xauth)replAuthorize ){
    const ReplSession *p = (const ReplSession*)db->pAuthArg;
    if( p->zDenied[0] ) return p->zDenied;
  }
  return "not authorized";
}

static void replSessionClosed(void *pArg){
  ReplSession *p = (ReplSession*)pArg;
  ReplSession **pp;
  sqlite3_mutex_enter(replMutex());
  for(pp=&replSessions; *pp!=p; pp=&(*pp)->pNext){ assert( *pp ); }
  *pp = p->pNext;
  sqlite3_mutex_leave(replMutex());
  if( p->db->pAuthArg==p ) sqlite3_set_authorizer(p->db, 0, 0);
  sqlite3_free(p);
}

int sqlite3_wal_replication_session(sqlite3 *db){
  ReplCall c;
  ReplSession *p;
  int rc = replEnter(&c, db, 0);
  if( rc!=SQLITE_OK ) return rc;
  if( sqlite3_get_clientdata(db, SESSION_CLIENT_NAME) ) return replLeave(&c, SQLITE_OK);
  if( !replHasWalName(c.pPager) ) return replLeave(&c, SQLITE_NOTADB);
  p = sqlite3MallocZero(sizeof(*p));
  if( p==0 ) return replLeave(&c, SQLITE_NOMEM_BKPT);
  p->db = db;
  p->zWal = c.pPager->zWal;
  sqlite3_mutex_enter(replMutex());
  p->pNext = replSessions;
  replSessions = p;
  sqlite3_mutex_leave(replMutex());
  rc = sqlite3_set_clientdata(db, SESSION_CLIENT_NAME, p, replSessionClosed);
  if( rc==SQLITE_OK ){
    db->flags |= SQLITE_Defensive | SQLITE_NoCkptOnClose;
    sqlite3_wal_autocheckpoint(db, 0);
    sqlite3_set_authorizer(db, replAuthorize, p);
  }
  return replLeave(&c, rc);
}

/* Interrupts the sessions of an owner, or all for 0. */
static int replInterrupt(sqlite3 *db, const char *zSchema, int iOwner){
  ReplCall c;
  ReplSession *p;
  int rc = replEnter(&c, db, zSchema);
  if( rc!=SQLITE_OK ) return rc;
  if( !replHasWalName(c.pPager) ) return replLeave(&c, SQLITE_NOTADB);
  sqlite3_mutex_enter(replMutex());
  for(p=replSessions; p; p=p->pNext){
    if( iOwner && p->iOwner!=iOwner ) continue;
    if( strcmp(p->zWal, c.pPager->zWal)==0 ) AtomicStore(&p->db->u1.isInterrupted, 1);
  }
  sqlite3_mutex_leave(replMutex());
  return replLeave(&c, SQLITE_OK);
}

int sqlite3_wal_replication_interrupt(sqlite3 *db, const char *zSchema){
  return replInterrupt(db, zSchema, 0);
}

int sqlite3_wal_replication_owner(sqlite3 *db, int iOwner){
  ReplSession *p = (ReplSession*)sqlite3_get_clientdata(db, SESSION_CLIENT_NAME);
  if( p==0 ) return SQLITE_MISUSE_BKPT;
  sqlite3_mutex_enter(replMutex());
  p->iOwner = iOwner;
  sqlite3_mutex_leave(replMutex());
  return SQLITE_OK;
}

int sqlite3_wal_replication_interrupt_owner(sqlite3 *db, const char *zSchema, int iOwner){
  return iOwner>0 ? replInterrupt(db, zSchema, iOwner) : SQLITE_MISUSE_BKPT;
}

int sqlite3_wal_replication_tainted(sqlite3 *db){
  ReplSession *p = (ReplSession*)sqlite3_get_clientdata(db, SESSION_CLIENT_NAME);
  return p ? p->bTainted : 0;
}
