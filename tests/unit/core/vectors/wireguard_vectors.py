#!/usr/bin/env python3
"""Makes the vectors of wg_handshake_test.cpp and wg_cookie_test.cpp: the WireGuard handshake (WG 5.4) on plain
integers and hashlib, written from the paper alone and sharing nothing with the product. Prints name and hex."""
import hashlib, hmac, struct
P=2**255-19
def x25519(k,u):
    k=bytearray(k); k[0]&=248; k[31]&=127; k[31]|=64
    k=int.from_bytes(k,'little'); u=int.from_bytes(u,'little')&((1<<255)-1)
    x1=u;x2=1;z2=0;x3=u;z3=1;swap=0
    for t in reversed(range(255)):
        b=(k>>t)&1
        if swap^b: x2,x3=x3,x2; z2,z3=z3,z2
        swap=b
        A=(x2+z2)%P;AA=A*A%P;B=(x2-z2)%P;BB=B*B%P;E=(AA-BB)%P
        C=(x3+z3)%P;D=(x3-z3)%P;DA=D*A%P;CB=C*B%P
        x3=(DA+CB)**2%P; z3=x1*(DA-CB)**2%P; x2=AA*BB%P; z2=E*(AA+121665*E)%P
    if swap: x2,x3=x3,x2; z2,z3=z3,z2
    return (x2*pow(z2,P-2,P)%P).to_bytes(32,'little')
BASE=(9).to_bytes(32,'little')
def rotl(x,n): return ((x<<n)|(x>>(32-n)))&0xffffffff
def qr(s,a,b,c,d):
    s[a]=(s[a]+s[b])&0xffffffff; s[d]=rotl(s[d]^s[a],16)
    s[c]=(s[c]+s[d])&0xffffffff; s[b]=rotl(s[b]^s[c],12)
    s[a]=(s[a]+s[b])&0xffffffff; s[d]=rotl(s[d]^s[a],8)
    s[c]=(s[c]+s[d])&0xffffffff; s[b]=rotl(s[b]^s[c],7)
CONST=struct.unpack('<4I',b'expand 32-byte k')
def rounds(s):
    for _ in range(10):
        for q in ((0,4,8,12),(1,5,9,13),(2,6,10,14),(3,7,11,15),(0,5,10,15),(1,6,11,12),(2,7,8,13),(3,4,9,14)): qr(s,*q)
def block(key,ctr,nonce):
    init=list(CONST)+list(struct.unpack('<8I',key))+[ctr]+list(struct.unpack('<3I',nonce))
    s=list(init); rounds(s)
    return struct.pack('<16I',*[(a+b)&0xffffffff for a,b in zip(s,init)])
def hchacha(key,n16):
    s=list(CONST)+list(struct.unpack('<8I',key))+list(struct.unpack('<4I',n16)); rounds(s)
    return struct.pack('<8I',*(s[:4]+s[12:]))
def poly(key,msg):
    r=int.from_bytes(key[:16],'little')&0x0ffffffc0ffffffc0ffffffc0fffffff; s=int.from_bytes(key[16:],'little'); a=0
    for i in range(0,len(msg),16): a=(a+int.from_bytes(msg[i:i+16]+b'\1','little'))*r%((1<<130)-5)
    return ((a+s)&((1<<128)-1)).to_bytes(16,'little')
def pad(x): return x+b'\0'*(-len(x)%16)
def seal_n(key,nonce,pt,ad):
    ks=b''.join(block(key,1+i,nonce) for i in range((len(pt)+63)//64))
    ct=bytes(a^b for a,b in zip(pt,ks))
    return ct+poly(block(key,0,nonce)[:32],pad(ad)+pad(ct)+struct.pack('<QQ',len(ad),len(ct)))
def aead(key,ctr,pt,ad): return seal_n(key,b'\0'*4+struct.pack('<Q',ctr),pt,ad)
def xaead(key,n24,pt,ad): return seal_n(hchacha(key,n24[:16]),b'\0'*4+n24[16:],pt,ad)
H=lambda *p: hashlib.blake2s(b''.join(p)).digest()
MAC=lambda k,m: hashlib.blake2s(m,key=k,digest_size=16).digest()
HM=lambda k,m: hmac.new(k,m,hashlib.blake2s).digest()
def kdf(n,k,i):
    t0=HM(k,i); out=[]; prev=b''
    for j in range(n): prev=HM(t0,prev+bytes([j+1])); out.append(prev)
    return out
def clamp(k):
    k=bytearray(k); k[0]&=248; k[31]=(k[31]&127)|64; return bytes(k)
si=clamp(bytes(range(1,33))); sr=clamp(bytes(range(101,133))); ei=clamp(bytes(range(41,73))); er=clamp(bytes(range(201,233)))
psk=bytes(range(150,182))
pub=lambda k: x25519(k,BASE)
def run(psk):
    Si,Sr,Ei,Er=map(pub,(si,sr,ei,er))
    C=H(b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"); h=H(H(C,b"WireGuard v1 zx2c4 Jason@zx2c4.com"),Sr)
    C,=kdf(1,C,Ei); h=H(h,Ei)
    C,k=kdf(2,C,x25519(ei,Sr)); es=aead(k,0,Si,h); h=H(h,es)
    C,k=kdf(2,C,x25519(si,Sr))
    ts=struct.pack('>QI',(1<<62)+10+1700000000,123456789&~0xffffff)
    et=aead(k,0,ts,h); h=H(h,et)
    m1=struct.pack('<II',1,0x11223344)+Ei+es+et
    m1+=MAC(H(b"mac1----",Sr),m1)
    cookie=bytes(range(16))
    m1z=m1+b'\0'*16; m1c=m1+MAC(cookie,m1)
    C,=kdf(1,C,Er); h=H(h,Er)
    C,=kdf(1,C,x25519(er,Ei)); C,=kdf(1,C,x25519(er,Si))
    C,t,k=kdf(3,C,psk); h=H(h,t); en=aead(k,0,b'',h)
    m2=struct.pack('<III',2,0x55667788,0x11223344)+Er+en
    m2+=MAC(H(b"mac1----",Si),m2); m2+=b'\0'*16
    a,b=kdf(2,C,b'')
    return m1z,m1c,m2,a,b
assert x25519(bytes.fromhex('a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4'),bytes.fromhex('e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c')).hex()=='c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552'
m1z,m1c,m2,a,b=run(psk)
for n,v in (('initiation',m1z),('mac2_with_cookie',m1c[-16:]),('response',m2),('send',a),('receive',b)): print(n,v.hex())
m1z,m1c,m2,a,b=run(b'\0'*32)
for n,v in (('nopsk_response',m2),('nopsk_send',a),('nopsk_receive',b)): print(n,v.hex())
# cookie: secret 32 bytes 0x40.., from 192.0.2.7:51821, nonce 0x80..
secret=bytes(range(0x40,0x60)); nonce=bytes(range(0x80,0x98))
ck=MAC(secret,bytes([192,0,2,7])+struct.pack('>H',51821))
rep=struct.pack('<II',3,0x11223344)+nonce+xaead(H(b"cookie--",pub(sr)),nonce,ck,m1z[116:132])
print('cookie',ck.hex()); print('cookie_reply',rep.hex())
